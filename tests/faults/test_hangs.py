"""A run that hangs is ended with the reason; one that was paused goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from runner.record.layout import RunDir
from runner.record.state import read_state
from runner.watchdog import is_stopped, tree_of
from tests.faults.campaign import References, attempt, broken_promises
from tests.faults.inject import broken, worker_dies_after, worker_hangs_after
from tests.faults.jobs import fault_run
from tests.forked_trainer import ForkedProcess, ForkedTrainer
from tests.runner.train.watch import curve, events, failure_of, log_of

STALL_SECONDS = 5.0  # longer than the start of the tiny model takes on a busy machine


class Watched(ForkedTrainer):
    """Shares the warm parent of another trainer and remembers what it launched."""

    def __init__(self, trainer: ForkedTrainer) -> None:
        self._requests = trainer._requests
        self.fault = trainer.fault
        self.processes: list[ForkedProcess] = []

    def launch(self, run: RunDir, environment: object, lock_fd: int | None = None) -> ForkedProcess:
        process = super().launch(run, environment, lock_fd)  # type: ignore[arg-type]
        self.processes.append(process)
        return process


def test_a_hung_data_worker_ends_the_run_with_its_stack(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """The reason is recorded, the log shows where the worker stands, and no process is left."""
    run = fault_run(tmp_path / "run", tiny_model, "workers")
    with broken(trainer, worker_hangs_after(8)):
        watched = Watched(trainer)
        outcome = attempt(run, watched, stall_seconds=STALL_SECONDS)
    assert (outcome.status, outcome.fault) == ("failed", "train-stalled"), log_of(run)
    assert "phase `train`" in outcome.reason and read_state(run).reason == outcome.reason
    assert "in hanging" in log_of(run)
    (process,) = watched.processes
    assert len(tree_of(process.pid)) == 1 and not Path(f"/proc/{process.pid}").exists()
    assert 0 < len(curve(run)) < 8


def test_a_dead_data_worker_is_named_and_the_run_goes_on_later(
    trainer: ForkedTrainer, tiny_model: Path, references: References, tmp_path: Path
) -> None:
    """The fault says who died; the next attempt ends with the bits of an undisturbed run."""
    run = fault_run(tmp_path / "run", tiny_model, "workers")
    with broken(trainer, worker_dies_after(8)):
        assert attempt(run, trainer).fault == "train-worker-died", log_of(run)
    assert failure_of(run)["what"].startswith("a data worker died: ")
    assert attempt(run, trainer).exit_code == 0, log_of(run)
    assert broken_promises(run, references["workers"]) == []


def test_a_paused_run_is_no_hang(
    trainer: ForkedTrainer, tiny_model: Path, references: References, tmp_path: Path
) -> None:
    """SIGSTOP for longer than the limit, then SIGCONT: the run ends, with the same bits."""
    run = fault_run(tmp_path / "run", tiny_model, "lora")
    watched = Watched(trainer)
    has_been_paused = threading.Event()

    def pause() -> None:
        while not events(run, "step"):
            time.sleep(0.005)
        (process,) = watched.processes
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(STALL_SECONDS + 1)
        if is_stopped(process.pid):
            has_been_paused.set()
        os.kill(process.pid, signal.SIGCONT)

    run.journal.touch()
    pausing = threading.Thread(target=pause, daemon=True)
    pausing.start()
    outcome = attempt(run, watched, stall_seconds=STALL_SECONDS)
    pausing.join(timeout=10)
    assert has_been_paused.is_set()
    assert outcome.exit_code == 0, log_of(run)
    assert broken_promises(run, references["lora"]) == []
