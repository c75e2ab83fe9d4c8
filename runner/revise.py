"""What the next attempt of a run does otherwise, so that it does not fail as the last one did.

Pure: from the plan, how the attempt ended and what the journal says, to another plan or a step to
pass over; or to nothing, and the run ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from runner.outcome import Outcome
from runner.plan import Decision, Plan
from runner.record.journal import BATCH_SKIPPED, MICRO_BATCH_HALVED, NOT_FINITE, Event

MOST_SKIPPED = 10  # batches of a run; more is not an accident of the data
IN_THE_LOOP = ("train", "evaluate")  # where the micro-batch decides about memory


@dataclass(frozen=True, kw_only=True)
class Revision:
    """What the next attempt does otherwise, as the journal tells it."""

    plan: Plan
    id: str
    message: str
    facts: dict[str, Any] = field(default_factory=dict)


def revise(plan: Plan, outcome: Outcome, events: Sequence[Event]) -> Revision | None:
    """Return what to change before another attempt, or None where that would not help.

    Args:
        outcome: of the newest attempt.
        events: the journal, with that attempt.
    """
    if outcome.fault in OUT_OF_MEMORY:
        return _smaller(plan, outcome, events)
    if outcome.fault == "train-not-finite" and plan.job["train"]["on_not_finite"] == "skip":
        return _without_batch(plan, events)
    return None


OUT_OF_MEMORY = {
    "train-out-of-memory": ("cuda", "cpu"),
    # the micro-batch of a card costs the machine next to nothing
    "train-killed-for-memory": ("cpu",),
}


def _smaller(plan: Plan, outcome: Outcome, events: Sequence[Event]) -> Revision | None:
    """Halve the micro-batch and double the accumulation: the same samples in every step."""
    training = plan.training
    phases = [event["name"] for event in events if event["event"] == "phase"]
    assert outcome.fault is not None
    if training.device not in OUT_OF_MEMORY[outcome.fault]:
        return None
    if training.micro_batch_size == 1 or not phases or phases[-1] not in IN_THE_LOOP:
        return None
    was = training.micro_batch_size
    now = max(size for size in range(1, was // 2 + 1) if was % size == 0)
    accumulation = training.gradient_accumulation_steps * (was // now)
    smaller = replace(training, micro_batch_size=now, gradient_accumulation_steps=accumulation)
    reason = f"out of memory with {was}"
    decisions = (
        Decision(key="train.per_device_train_batch_size", value=now, reason=reason),
        Decision(key="train.gradient_accumulation_steps", value=accumulation, reason=reason),
    )
    kept = tuple(
        one for one in plan.decisions if one.key not in {decision.key for decision in decisions}
    )
    return Revision(
        plan=replace(plan, training=smaller, decisions=kept + decisions),
        id=MICRO_BATCH_HALVED,
        message=f"{reason} samples at once: going on with {now}, accumulated over {accumulation} "
        "micro-batches; the same samples make a step, its sums are rounded otherwise",
        facts={"micro_batch_size": now, "gradient_accumulation_steps": accumulation},
    )


def _without_batch(plan: Plan, events: Sequence[Event]) -> Revision | None:
    """Pass over the step whose batch was not finite."""
    warnings = [event for event in events if event["event"] == "warning"]
    skipped = {event["step"] for event in warnings if event["id"] == BATCH_SKIPPED}
    bad = [event for event in warnings if event["id"] == NOT_FINITE]
    if not bad or len(skipped) >= MOST_SKIPPED:
        return None
    step, rows = bad[-1]["step"], bad[-1]["rows"]
    if step in skipped:
        return None
    return Revision(
        plan=plan,
        id=BATCH_SKIPPED,
        message=f"step {step} is taken without its batch: {rows}",
        facts={"step": step, "rows": rows},
    )


def keep_revisions(plan: Plan, on_disk: Plan) -> Plan:
    """Return a plan made anew with the micro-batch that an earlier attempt had to take.

    Args:
        plan: made now, from the job.
        on_disk: of the run, perhaps revised.
    """
    if plan.identity != on_disk.identity:
        return plan
    then = on_disk.training
    return replace(
        plan,
        decisions=on_disk.decisions,
        training=replace(
            plan.training,
            micro_batch_size=then.micro_batch_size,
            gradient_accumulation_steps=then.gradient_accumulation_steps,
        ),
    )
