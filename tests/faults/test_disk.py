"""A full disk costs what was not saved, never what was; with room again the run goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.record.checkpoint import newest_valid
from runner.record.state import read_state
from tests.faults.campaign import References, attempt, broken_promises
from tests.faults.inject import after_step, broken
from tests.faults.jobs import fault_run
from tests.forked_trainer import ForkedTrainer
from tests.runner.train.watch import log_of

DISK = "size=24m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", DISK, "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, spare_bytes: int) -> str:
    """Take all room, or all but a little."""
    ballast = f"os.open({str(disk / 'ballast')!r}, os.O_WRONLY | os.O_CREAT)"
    free = f"shutil.disk_usage({str(disk)!r}).free"
    return f"import shutil; os.posix_fallocate({ballast}, 0, {free} - {spare_bytes})"


@pytest.mark.parametrize(
    ("spare_bytes", "faults"),
    [
        (0, {"train-disk-full"}),
        (400_000, {"checkpoint-cannot-be-written"}),
    ],
    ids=["not a byte left", "room for the journal alone"],
)
def test_a_disk_that_fills_up_ends_the_run_and_room_lets_it_go_on(
    trainer: ForkedTrainer, tiny_model: Path, references: References, small_disk: Path,
    spare_bytes: int, faults: set[str],
) -> None:  # fmt: skip
    """The end is named, the newest sealed checkpoint is whole, and the bits are the same later."""
    run = fault_run(small_disk / "run", tiny_model, "lora")
    with broken(trainer, after_step(2, fill(small_disk, spare_bytes))):
        outcome = attempt(run, trainer)
    assert outcome.exit_code == 1 and outcome.fault in faults, (outcome, log_of(run))
    newest, skipped = newest_valid(run.checkpoints)
    assert skipped == []
    assert newest is None or newest.name in {"step-2", "step-4"}
    assert not (run.checkpoints / ".staging").exists()
    (small_disk / "ballast").unlink()
    assert read_state(run).status in {"failed", "interrupted"}
    assert attempt(run, trainer).exit_code == 0, log_of(run)
    faults_found = broken_promises(run, references["lora"])
    assert [fault for fault in faults_found if "was not saved" not in fault] == []
