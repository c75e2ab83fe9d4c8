"""The memory part of `trainbox plan`: table, verdict, cards, and what to change."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from runner.decide import training_settings
from runner.errors import PlanError
from runner.machine import Machine
from runner.memory.architecture import Architecture
from runner.memory.cards import GIB, Card, named_card, stand_in
from runner.memory.estimate import estimate
from runner.memory.fit import NO, PlannedMemory, cards_that_fit
from runner.spec import Job

if TYPE_CHECKING:
    from runner.memory.advice import Change

NUM_CARDS = 6  # shown; `--json` has all

MOMENTS = {
    "load": "while the weights are loaded",
    "forward": "in the forward pass",
    "loss": "in the loss",
    "backward": "where the backward pass begins",
    "backward_end": "where the backward pass ends",
    "embedding": "at the gradient of the embedding",
    "step": "while the optimiser steps",
    "evaluation": "in an evaluation",
    "reference": "in the reference model's forward pass",
}
COMPONENTS = {
    "weights": "weights",
    "adapters": "adapters",
    "gradients": "gradients",
    "optimizer": "optimiser states",
    "optimizer_step": "optimiser, while it steps",
    "reference": "reference model",
    "activations": "activations kept",
    "layer": "one layer's work",
    "loss_head": "loss head",
    "load": "one matrix before it is packed",
    "workspace": "library workspace",
    "slack": "allocator slack (expected)",
    "context": "CUDA context",
}


def planned_machine(machine: Machine, gpu: str | None, memory_gib: float | None) -> Machine:
    """Return the machine, with the card of `--gpu` or `--memory-gib` for its own.

    Raises:
        PlanError: no card of that name is known.
    """
    if gpu is None and memory_gib is None:
        return machine
    card = named_card(gpu) if gpu else None
    if memory_gib is not None:
        card = Card(
            name=f"{card.name if card else 'a card'} with {memory_gib:g} GiB",
            memory_bytes=int(memory_gib * GIB),
            capability=card.capability if card else None,
        )
    assert card is not None
    return Machine(
        num_cpus=machine.num_cpus, memory_bytes=machine.memory_bytes, gpus=(stand_in(card),)
    )


def require_fit(memory: PlannedMemory | None, job_file: str) -> None:
    """Raise where the plan says that a run does not fit its card.

    Raises:
        PlanError: what it needs, what is there, and where to read what to change.
    """
    if memory is None or memory.verdict != NO or memory.card_bytes is None:
        return
    raise PlanError(
        id="plan-does-not-fit",
        what=f"it needs {gib(memory.device_bytes)} of device memory, {memory.card} has"
        f" {gib(memory.card_bytes)}",
        where=job_file,
        why=f"it would run out of memory {MOMENTS[memory.moment]}, after minutes of loading",
        fix=f"`trainbox plan {job_file}` says what to change; --force starts it all the same",
    )


def memory_facts(
    job: Job, fields: dict[str, Any], memory: PlannedMemory | None, arch: Architecture | None
) -> dict[str, Any]:
    """Return what `--json` says about memory.

    Args:
        fields: of a TrainingPlan.
    """
    if memory is None or arch is None:
        return {"memory": None, "fits": None}
    found = estimate(arch, training_settings(job, fields, memory.length))
    return {
        "memory": asdict(memory)
        | {
            "fits": memory.fits,
            "cards": [card.name for card in cards_that_fit(found)],
            "changes": [asdict(change) for change in changes(job, fields, memory, arch)],
        },
        "fits": memory.fits,
    }


def changes(
    job: Job, fields: dict[str, Any], memory: PlannedMemory, arch: Architecture
) -> list[Change]:
    """Return what to change, empty where the run fits or no card is named."""
    card = memory.planned_card
    if memory.verdict != NO or card is None:
        return []
    from runner.memory.advice import advise

    return advise(
        arch,
        training_settings(job, fields, memory.length),
        card,
        effective_batch_size=fields["micro_batch_size"] * fields["gradient_accumulation_steps"],
    )


def render_memory(
    job: Job, fields: dict[str, Any], memory: PlannedMemory | None, arch: Architecture | None
) -> str:
    """Return the memory part of the plan as text.

    Args:
        fields: of a TrainingPlan.
    """
    if memory is None or arch is None:
        return "device memory: not known for this model (`--trace` counts it with its own code)"
    rows = f"{fields['micro_batch_size']} x {memory.length} tokens"
    place = "" if memory.card else " on a card (none here; --gpu NAME plans for one)"
    lines = [f"device memory{place}, {rows}, most {MOMENTS[memory.moment]}:"]
    lines += [
        f"  {COMPONENTS[name]:28} {gib(value):>11}"
        for name, value in memory.components.items()
        if value >= GIB // 1024
    ]
    lines.append(f"  {'together':28} {gib(memory.device_bytes):>11}")
    if memory.card_bytes is not None:
        lines.append(f"{memory.card}: {memory.verdict} ({gib(memory.card_bytes)} usable)")
    found = estimate(arch, training_settings(job, fields, memory.length))
    cards = [card.name for card in cards_that_fit(found)]
    if cards:
        more = f" and {len(cards) - NUM_CARDS} larger" if len(cards) > NUM_CARDS else ""
        lines.append(f"fits: {', '.join(cards[:NUM_CARDS])}{more}")
    else:
        lines.append("fits no single card")
    found_changes = changes(job, fields, memory, arch)
    if found_changes:
        lines.append("to change, the least harmful first:")
        lines += [f"  {change_line(change)}" for change in found_changes]
    return "\n".join(lines)


def change_line(change: Change) -> str:
    """Return `saves 1.23 GiB, fits  --set …   (harm)`."""
    verdict = "fits" if change.is_enough else "not enough"
    return f"saves {gib(change.saved_bytes):>10}, {verdict:10}  {change.paste}   ({change.harm})"


def gib(nbytes: int) -> str:
    """Return bytes as `12.34 GiB`."""
    return f"{nbytes / GIB:.2f} GiB"
