"""The device memory of a resolved job, predicted where its model's architecture is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.decide import training_settings
from runner.errors import PlanError
from runner.machine import Gpu
from runner.memory.architecture import Architecture, read_architecture
from runner.memory.cards import card_of
from runner.memory.estimate import estimate
from runner.memory.fit import PlannedMemory, planned_memory
from runner.spec import Job


def find_architecture(config: Mapping[str, Any]) -> Architecture | None:
    """Return the architecture of a config.json, None where its memory is not known."""
    try:
        return read_architecture(config)
    except PlanError:
        return None


def predict_memory(
    job: Job, fields: dict[str, Any], longest: int, arch: Architecture, gpu: Gpu | None
) -> PlannedMemory:
    """Predict the peak of device memory of a resolved job.

    Args:
        fields: of a TrainingPlan.
        longest: tokens of the longest row.
    """
    card = card_of(gpu) if gpu else None
    found = estimate(
        arch, training_settings(job, fields, longest), card.capability if card else None
    )
    return planned_memory(found, card, longest)
