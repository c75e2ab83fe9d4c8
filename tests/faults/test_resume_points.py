"""From whichever checkpoint a run goes on, in an epoch or between two, its bits are the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runner.record.checkpoint import sealed_steps, step_of
from runner.record.layout import RunDir
from tests.faults.campaign import References, attempt, broken_promises
from tests.faults.jobs import JOBS
from tests.forked_trainer import ForkedTrainer
from tests.runner.train.watch import events, log_of


@pytest.mark.parametrize("step", [2, 4], ids=["in an epoch", "between two"])
@pytest.mark.parametrize("job", JOBS)
def test_any_checkpoint_leads_to_the_same_bits(
    trainer: ForkedTrainer, references: References, tmp_path: Path, job: str, step: int
) -> None:
    """A checkpoint of a finished run, taken as the newest, ends in the same run again."""
    whole, run = references[job].run, RunDir(tmp_path / "run")
    assert {2, 4} <= {step_of(path) for path in sealed_steps(whole.checkpoints)}
    shutil.copytree(whole.path, run.path)
    for newer in sealed_steps(run.checkpoints):
        if step_of(newer) > step:
            shutil.rmtree(newer)
    shutil.rmtree(run.model if job == "full" else run.adapter)
    assert attempt(run, trainer).exit_code == 0, log_of(run)
    (resume,) = events(run, "resume")
    assert resume["step"] == step
    assert broken_promises(run, references[job]) == []
