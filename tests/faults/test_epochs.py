"""A run that goes on between two epochs has the bits of one that was not interrupted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runner.record.checkpoint import sealed_steps, step_of
from runner.record.layout import RunDir
from tests.faults.campaign import References, attempt, broken_promises
from tests.faults.jobs import END_OF_EPOCH, JOBS
from tests.forked_trainer import ForkedTrainer
from tests.runner.train.watch import events, log_of


@pytest.mark.parametrize("job", JOBS)
def test_between_two_epochs_a_run_is_taken_up_with_the_same_bits(
    trainer: ForkedTrainer, references: References, tmp_path: Path, job: str
) -> None:
    """The checkpoint at an epoch's end, taken as the newest, ends in the same run again.

    Inside an epoch it is the random numbers of the checkpoint that count, here those that the data
    loader draws anew; kills at random moments hit this one seldom.
    """
    whole, run = references[job].run, RunDir(tmp_path / "run")
    shutil.copytree(whole.path, run.path)
    for newer in sealed_steps(run.checkpoints):
        if step_of(newer) > END_OF_EPOCH:
            shutil.rmtree(newer)
    shutil.rmtree(run.model if job == "full" else run.adapter)
    assert attempt(run, trainer).exit_code == 0, log_of(run)
    (resume,) = events(run, "resume")
    assert resume["step"] == END_OF_EPOCH
    assert broken_promises(run, references[job]) == []
