"""A full disk costs what was not saved, never what was; with room again the run goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.record.checkpoint import newest_valid
from runner.record.layout import RunDir
from runner.record.state import read_state
from tests.faults.campaign import References, attempt, broken_promises
from tests.faults.jobs import fault_run
from tests.forked_trainer import ForkedTrainer
from tests.runner.train.watch import events, log_of

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


def fill(disk: Path, run: RunDir, step: int, spare_bytes: int) -> None:
    """Take all room, or all but a little, once a step is done."""
    while not any(event["step"] >= step for event in events(run, "step")):
        time.sleep(0.005)
    with (disk / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - spare_bytes)


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
    run.journal.touch()
    filling = threading.Thread(target=fill, args=(small_disk, run, 2, spare_bytes), daemon=True)
    filling.start()
    outcome = attempt(run, trainer)
    filling.join()
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
