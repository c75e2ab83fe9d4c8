"""Killed at random moments, damaged on disk: a run ends with the bits it would have had."""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path

import pytest

from runner.record.checkpoint import newest_valid, sealed_steps
from runner.record.layout import RunDir
from tests.faults.campaign import References, attempt, broken_promises, campaign
from tests.faults.damage import DAMAGES, files_of
from tests.faults.inject import after_step, broken, signal_itself
from tests.faults.jobs import JOBS, fault_run
from tests.forked_trainer import ForkedTrainer
from tests.runner.train.watch import events, log_of

KILLS = 20
SEED = 20261121
OFFSETS = 5  # random places a file is damaged at, each way


@pytest.fixture(scope="module")
def stopped(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunDir:
    """A run that was killed after its second checkpoint."""
    run = fault_run(tmp_path_factory.mktemp("stopped") / "lora", tiny_model, "lora")
    with broken(trainer, after_step(7, signal_itself(signal.SIGKILL))):
        assert trainer.train(run) == -signal.SIGKILL, log_of(run)
    assert len(sealed_steps(run.checkpoints)) >= 2, log_of(run)
    return run


def test_runs_killed_at_random_moments_end_with_the_same_bits(
    trainer: ForkedTrainer, tiny_model: Path, references: References, tmp_path: Path
) -> None:
    """Every recipe, with packing and data workers, killed anywhere, finishes with its bits."""
    tally = campaign(
        tmp_path,
        tiny_model,
        trainer,
        references,
        jobs=list(JOBS),
        num_kills=KILLS,
        seed=SEED,
        damage_chance=0.2,
    )
    assert tally.faults == []
    assert tally.kills == KILLS and set(tally.runs) == set(JOBS)


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damage_of_any_file_is_accepted(stopped: RunDir, tmp_path: Path, damage: str) -> None:
    """Whatever happens to one byte of the newest checkpoint, the one before it is taken."""
    newest, older, *_ = sealed_steps(stopped.checkpoints)
    dice = random.Random(f"{SEED}-{damage}")
    names = [file.relative_to(newest) for file in files_of(newest)]
    assert len(names) >= 8
    copy = tmp_path / "copy"
    shutil.copytree(stopped.checkpoints, copy)
    for name in names:
        whole = (newest / name).read_bytes()
        for number in range(OFFSETS):
            DAMAGES[damage](copy / newest.name / name, dice)
            found, skipped = newest_valid(copy)
            assert found == copy / older.name, (name, number)
            assert [one.checkpoint for one in skipped] == [newest.name]
            (copy / newest.name / name).write_bytes(whole)
    assert newest_valid(copy) == (copy / newest.name, [])


def test_a_run_goes_on_from_before_the_damage(
    trainer: ForkedTrainer, references: References, stopped: RunDir, tmp_path: Path
) -> None:
    """With each file of the newest checkpoint damaged in turn, the run ends with the same bits."""
    newest, *_ = sealed_steps(stopped.checkpoints)
    dice, kinds = random.Random(SEED), list(DAMAGES)
    for number, file in enumerate(files_of(newest)):
        run = RunDir(tmp_path / f"run-{number}")
        shutil.copytree(stopped.path, run.path)
        file = run.checkpoints / file.relative_to(stopped.checkpoints)
        DAMAGES[kinds[number % len(kinds)]](file, dice)
        assert attempt(run, trainer).exit_code == 0, log_of(run)
        (resume,) = events(run, "resume")
        assert [one["checkpoint"] for one in resume["skipped"]] == [newest.name]
        assert broken_promises(run, references["lora"]) == []
