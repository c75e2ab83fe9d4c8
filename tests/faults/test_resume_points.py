"""From whichever checkpoint a run goes on, in an epoch or between two, its bits are the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runner.record.checkpoint import checkpoint_path, sealed_steps, step_of
from runner.record.layout import RunDir
from tests.faults.campaign import attempt, broken_promises, reference
from tests.faults.jobs import JOBS
from tests.forked_trainer import ForkedTrainer
from tests.runner.train.watch import events, log_of


@pytest.mark.parametrize("job", JOBS)
def test_every_checkpoint_leads_to_the_same_bits(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path, job: str
) -> None:
    """Each checkpoint of a finished run, taken as the newest, ends in the same run again."""
    undisturbed = reference(tmp_path / job, tiny_model, job, trainer)
    whole = RunDir(tmp_path / job)
    steps = [step_of(path) for path in sealed_steps(whole.checkpoints)]
    assert steps == [8, 6, 4, 2]  # an epoch ends at step 4
    for step in steps:
        run = RunDir(tmp_path / f"from-{step}")
        shutil.copytree(whole.path, run.path)
        shutil.rmtree(run.path / ("model" if job == "full" else "adapter"))
        for newer in [one for one in steps if one > step]:
            shutil.rmtree(checkpoint_path(run.checkpoints, newer))
        assert attempt(run, trainer).exit_code == 0, log_of(run)
        (resume,) = events(run, "resume")
        assert resume["step"] == step
        assert broken_promises(run, undisturbed) == []
