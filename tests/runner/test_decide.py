"""What becomes of `auto` on a card: what fits its memory."""

from __future__ import annotations

from typing import Any

import pytest

from runner.decide import Decisions, decide_training
from runner.errors import PlanError
from runner.machine import Gpu
from runner.memory.architecture import Architecture, read_architecture
from tests.runner.memory.models import config
from tests.runner.plans import tiny_job


def card(gib: float) -> Gpu:
    return Gpu(
        index=0, uuid="GPU-0", name="a card", memory_bytes=int(gib * 2**30),
        compute_capability=(8, 0), driver="580.1",
    )  # fmt: skip


def llama() -> Architecture:
    return read_architecture(config("Llama-3.1-8B"))


def decided(gib: float, **train: Any) -> tuple[dict[str, Any], Decisions]:
    """Return the fields of a plan for 4 rows of 2048 tokens."""
    decide = Decisions()
    job = tiny_job(train={"per_device_train_batch_size": 4, **train})
    return decide_training(job, card(gib), 2048, llama(), decide), decide


def test_as_few_layers_are_recomputed_as_fit() -> None:
    """On larger cards fewer, down to none; which it is stands among the decisions."""
    found = [decided(gib)[0] for gib in (14, 40, 52, 80)]
    policies = [(one["gradient_checkpointing"], one["checkpoint_every_n"]) for one in found]
    assert policies[0][0] == "full" and policies[-1][0] == "off"
    assert [policy for policy, _ in policies[1:3]] == ["every_n"] * 2
    assert policies[1][1] < policies[2][1]
    made = {one.key: one.value for one in decided(52)[1].made}
    assert made["train.checkpoint_every_n"] == policies[2][1]
    assert "train.checkpoint_every_n" not in {one.key for one in decided(80)[1].made}


def test_a_number_that_is_given_is_kept() -> None:
    """Every fourth layer means every fourth, whatever would fit."""
    found, decide = decided(80, gradient_checkpointing="every_n", checkpoint_every_n=4)
    assert (found["gradient_checkpointing"], found["checkpoint_every_n"]) == ("every_n", 4)
    assert "train.checkpoint_every_n" not in {one.key for one in decide.made}


def test_a_number_without_a_use_is_refused() -> None:
    """Every fourth of the layers cannot be recomputed where all or none are."""
    with pytest.raises(PlanError) as caught:
        decided(80, gradient_checkpointing="off", checkpoint_every_n=4)
    assert "checkpoint_every_n" in caught.value.what


def test_levers_count_in_what_fits() -> None:
    """A base held dequantised leaves less room for kept activations."""
    job = tiny_job(train={"per_device_train_batch_size": 4}, speed={"dense_base": True})
    dense = decide_training(job, card(52), 2048, llama(), Decisions())
    packed = decided(52)[0]
    assert dense["gradient_checkpointing"] == packed["gradient_checkpointing"] == "every_n"
    assert dense["checkpoint_every_n"] < packed["checkpoint_every_n"]
