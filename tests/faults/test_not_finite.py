"""A batch that makes the loss NaN is named, and never trained on without a word."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runner.plan import read_plan
from runner.record.checkpoint import newest_valid, step_of
from runner.record.layout import RunDir
from tests.faults.campaign import attempt
from tests.faults.inject import NAN_FROM_POISON, POISON, broken
from tests.faults.jobs import fault_run
from tests.forked_trainer import ForkedTrainer
from tests.runner.train.watch import curve, events, failure_of, log_of

POISONED_SAMPLE = 5  # row 6 of the file


def poisoned_run(path: Path, model: Path, job: str, on_not_finite: str) -> RunDir:
    """Write a run one of whose samples holds the poisonous token."""
    run = fault_run(path, model, job)
    plan = read_plan(run.plan)
    arrays = dict(np.load(plan.train_data.path))
    arrays["input_ids"][arrays["offsets"][POISONED_SAMPLE]] = POISON
    file = path.parent / "poisoned.npz"
    np.savez(file, **arrays)
    data = replace(
        plan.train_data, path=str(file), sha256=hashlib.sha256(file.read_bytes()).hexdigest()
    )
    job_now = plan.job | {"train": plan.job["train"] | {"on_not_finite": on_not_finite}}
    replace(plan, train_data=data, job=job_now).write(run.plan)
    return run


@pytest.mark.parametrize("job", ["lora", "packing", "workers"])
def test_the_run_stops_and_names_the_rows(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path, job: str
) -> None:
    """The step is journalled with its NaN, its rows are named, the checkpoint before is whole."""
    run = poisoned_run(tmp_path / "run", tiny_model, job, "stop")
    with broken(trainer, NAN_FROM_POISON):
        outcome = attempt(run, trainer)
    assert (outcome.status, outcome.exit_code) == ("failed", 1), log_of(run)
    last_step, last_loss, *_ = curve(run)[-1]
    assert math.isnan(last_loss)
    (named,) = events(run, "warning")
    assert (named["id"], named["step"]) == ("train-batch-not-finite", last_step)
    rows = named["rows"].removeprefix("train.jsonl: rows ").split(", ")
    assert str(POISONED_SAMPLE + 1) in rows
    if job != "packing":
        assert len(rows) <= 4  # the samples of one step
    assert failure_of(run)["id"] == "train-not-finite"
    assert failure_of(run)["where"] == named["rows"]
    newest, skipped = newest_valid(run.checkpoints)
    assert skipped == [] and (newest is None or step_of(newest) < last_step)


def test_a_batch_is_passed_over_where_the_job_says_so(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """The run goes back, takes the step without its batch, says so, and ends with finite losses."""
    run = poisoned_run(tmp_path / "run", tiny_model, "lora", "skip")
    with broken(trainer, NAN_FROM_POISON):
        outcome = attempt(run, trainer)
    assert outcome.exit_code == 0, log_of(run)
    skipped = [event for event in events(run, "warning") if event["id"] == "train-batch-skipped"]
    bad = {event["step"] for event in skipped}
    assert bad == {step for step, loss, *_ in curve(run) if math.isnan(loss)} != set()
    assert [step for step, *_ in curve(run)] == list(range(1, 9))
    assert all(str(POISONED_SAMPLE + 1) in event["rows"] for event in skipped)
    assert len(events(run, "start")) == 1 + len(skipped)
