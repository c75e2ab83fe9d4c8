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
from tests.faults.inject import (
    after_step,
    broken,
    signal_itself,
    worker_dies_after,
    worker_hangs_after,
)
from tests.faults.jobs import fault_run
from tests.forked_trainer import ForkedProcess, ForkedTrainer
from tests.runner.train.watch import curve, failure_of, log_of

STALL_SECONDS = 5.0


def patience(references: References, job: str) -> float:
    """Return a limit on silence that no start exceeds: a whole run took a third of it, here."""
    return max(STALL_SECONDS, 3 * references[job].seconds)


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
    trainer: ForkedTrainer, tiny_model: Path, references: References, tmp_path: Path
) -> None:
    """The reason is recorded, the log shows where the worker stands, and no process is left."""
    run = fault_run(tmp_path / "run", tiny_model, "workers")
    stall_seconds = patience(references, "workers")
    with broken(trainer, worker_hangs_after(8)):
        watched = Watched(trainer)
        outcome = attempt(run, watched, stall_seconds=stall_seconds)
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
    stall_seconds = patience(references, "lora")
    has_been_paused = threading.Event()

    def go_on_later() -> None:
        while not (watched.processes and is_stopped(watched.processes[0].pid)):
            time.sleep(0.01)
        time.sleep(stall_seconds + 1)
        if is_stopped(watched.processes[0].pid):
            has_been_paused.set()
        os.kill(watched.processes[0].pid, signal.SIGCONT)

    with broken(trainer, after_step(2, signal_itself(signal.SIGSTOP))):
        watched = Watched(trainer)
        threading.Thread(target=go_on_later, daemon=True).start()
        outcome = attempt(run, watched, stall_seconds=stall_seconds)
    assert has_been_paused.is_set()
    assert outcome.exit_code == 0, log_of(run)
    assert broken_promises(run, references["lora"]) == []
