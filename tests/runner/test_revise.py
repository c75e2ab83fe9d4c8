"""What the next attempt does otherwise, decided from the end of the last."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.outcome import Outcome
from runner.plan import Plan
from runner.revise import MOST_SKIPPED, keep_revisions, revise
from tests.runner.plans import tiny_plan

TRAINING = {"event": "phase", "name": "train"}
NOT_FINITE = {
    "event": "warning",
    "id": "train-batch-not-finite",
    "step": 7,
    "rows": "a.jsonl: rows 3",
}


def failed(fault: str) -> Outcome:
    return Outcome(status="failed", reason="…", exit_code=1, fault=fault)


def plan_of(micro: int = 8, accumulation: int = 2, **changes: Any) -> Plan:
    """Return a plan with this split; `on_not_finite` and fields of its training can be changed."""
    plan = tiny_plan()
    policy = changes.pop("on_not_finite", "stop")
    training = replace(
        plan.training,
        micro_batch_size=micro,
        gradient_accumulation_steps=accumulation,
        **changes,
    )
    job = plan.job | {"train": plan.job["train"] | {"on_not_finite": policy}}
    return replace(plan, training=training, job=job)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [((8, 2), (4, 4)), ((2, 1), (1, 2)), ((3, 4), (1, 12)), ((9, 1), (3, 3)), ((6, 1), (3, 2))],
)
def test_out_of_memory_splits_the_same_samples(
    was: tuple[int, int], becomes: tuple[int, int]
) -> None:
    """Micro-batch x accumulation stays; the identity, and so the checkpoints, stay too."""
    before = plan_of(*was)
    revision = revise(before, failed("train-out-of-memory"), [TRAINING])
    assert revision is not None and revision.id == "train-micro-batch-halved"
    now = revision.plan.training
    assert (now.micro_batch_size, now.gradient_accumulation_steps) == becomes
    assert revision.plan.identity == before.identity
    assert {"value": becomes[0]}.items() <= vars(revision.plan.decisions[-2]).items()


@pytest.mark.parametrize(
    ("plan", "fault", "phase"),
    [
        (plan_of(1), "train-out-of-memory", "train"),
        (plan_of(), "train-out-of-memory", "load_model"),
        (plan_of(device="cuda"), "train-killed-for-memory", "train"),
        (plan_of(), "train-crashed", "train"),
        (plan_of(), "train-not-finite", "train"),
    ],
)
def test_what_another_attempt_would_not_mend_ends_the_run(
    plan: Plan, fault: str, phase: str
) -> None:
    """One sample does not fit, the model alone does not fit, or the job says stop."""
    events = [{"event": "phase", "name": phase}, NOT_FINITE]
    assert revise(plan, failed(fault), events) is None


def test_the_kernel_out_of_memory_on_a_cpu_is_split_too() -> None:
    """There the micro-batch lives in the memory of the machine."""
    revision = revise(plan_of(device="cpu"), failed("train-killed-for-memory"), [TRAINING])
    assert revision is not None and revision.plan.training.micro_batch_size == 4


def test_a_bad_batch_is_passed_over_once_and_not_for_ever() -> None:
    """The newest step that was not finite is skipped; too many, or the same again, is the end."""
    plan, outcome = plan_of(on_not_finite="skip"), failed("train-not-finite")
    revision = revise(plan, outcome, [TRAINING, NOT_FINITE])
    assert revision is not None and revision.plan == plan
    assert (revision.id, revision.facts) == (
        "train-batch-skipped", {"step": 7, "rows": "a.jsonl: rows 3"},
    )  # fmt: skip
    done = [
        {"event": "warning", "id": "train-batch-skipped", "step": step} for step in range(1, 99)
    ]
    assert revise(plan, outcome, [*done[:MOST_SKIPPED], NOT_FINITE]) is None
    assert revise(plan, outcome, [done[6], NOT_FINITE]) is None
    assert revise(plan, outcome, [TRAINING]) is None  # the held-out loss has no batch to skip


def test_a_plan_made_anew_keeps_the_split_of_its_run() -> None:
    """`trainbox train` again does not run out of memory again first; another job starts fresh."""
    before = plan_of(8, 2)
    revision = revise(before, failed("train-out-of-memory"), [TRAINING])
    assert revision is not None
    assert keep_revisions(before, revision.plan) == revision.plan
    other = replace(before, identity="other")
    assert keep_revisions(other, revision.plan) == other
