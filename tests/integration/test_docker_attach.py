"""Containers that lost their supervisor (kill -9): told truly, taken over, stopped, resumed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runner.backends.docker import DockerBackend
from runner.cli import main
from runner.container.engine import connect
from runner.container.process import seconds_of
from runner.record.checkpoint import newest_valid
from runner.record.delivery import read_tracking
from runner.record.journal import read_events
from runner.record.layout import RunDir
from runner.record.state import is_locked, list_runs, read_state
from tests.integration.containers import (
    ROOT,
    container_of,
    first_step,
    names_of_containers,
    state_of,
    wait_until,
    write_job,
)

pytestmark = pytest.mark.docker
NUM_STEPS = 200


@dataclass
class Command:
    """`trainbox train --backend docker` as a process that can be killed."""

    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def train(self) -> RunDir:
        """Start the command; return its run when the supervisor has a container."""
        command = [sys.executable, "-m", "runner", "train", "job.json", "--backend", "docker"]
        with (self.folder / "terminal").open("wb") as terminal:
            self.started.append(
                subprocess.Popen([*command, "--offline"], stdout=terminal, stderr=terminal)
            )
        run: RunDir = wait_until(lambda: next(iter(list_runs(self.folder / "runs")), None))
        wait_until(lambda: run.supervisor.exists() or None)
        return run

    def blind_supervisor(self) -> None:
        """Stop it, so that it does not see the end of the run, however soon that comes."""
        self.started[-1].send_signal(signal.SIGSTOP)

    def kill_supervisor(self) -> None:
        """End it as a power cut of its terminal would: with no word."""
        self.started[-1].kill()
        self.started[-1].wait()


@pytest.fixture
def command(
    backend: DockerBackend, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    """The command in a folder of its own; containers that are left are removed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TRAINBOX_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("TRAINBOX_CACHE", str(tmp_path / "cache"))
    command = Command(tmp_path)
    yield command
    for process in command.started:
        process.kill()
        process.wait()
    with connect() as client:
        for run in list_runs(tmp_path / "runs"):
            if container_of(run) in names_of_containers():
                client.remove_container(container_of(run), force=True)


def steps_of(run: RunDir) -> list[int]:
    return [event["step"] for event in read_events(run.journal) if event["event"] == "step"]


def test_attach_brings_a_left_run_to_its_end(command: Command, tiny_model: Path) -> None:
    """Attached it ends finished, every step once.

    Here and in MLflow, where the first supervisor's follower has begun.
    """
    store = f"sqlite:///{command.folder}/mlflow.db"
    write_job(command.folder, tiny_model, max_steps=NUM_STEPS, tracking=store)
    run = command.train()
    command.blind_supervisor()
    wait_until(first_step(run))
    command.kill_supervisor()
    assert main(["attach", run.run_id]) == 0
    assert read_state(run).status == "finished" and steps_of(run) == list(range(1, NUM_STEPS + 1))
    assert len([e for e in read_events(run.journal) if e["event"] == "start"]) == 1
    assert list(run.adapter.glob("*.safetensors"))
    with closing(sqlite3.connect(command.folder / "mlflow.db")) as database:
        # the follower of the first supervisor said KILLED; the one of attach may be at work still
        wait_until(
            lambda: (
                database.execute("select status from runs").fetchall() == [("FINISHED",)] or None
            )
        )
        wait_until(lambda: read_tracking(run).is_complete or None)
        sent = database.execute("select step from metrics where key = 'train/loss' order by step")
        assert [step for (step,) in sent] == list(range(1, NUM_STEPS + 1))
    assert container_of(run) not in names_of_containers()


def test_attach_closes_the_record_of_a_run_that_ended_unseen(
    command: Command, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The end is the container's: exit code and time, whenever somebody looks."""
    write_job(command.folder, tiny_model, max_steps=NUM_STEPS)
    run = command.train()
    command.kill_supervisor()
    wait_until(lambda: None if state_of(run)["Running"] else True)
    ended = seconds_of(state_of(run)["FinishedAt"])
    assert read_state(run).status == "interrupted"
    assert main(["show", run.run_id]) == 0
    assert f"trainbox attach {run.run_id}" in capsys.readouterr().out
    assert main(["attach", run.run_id]) == 0
    end = read_events(run.journal)[-1]
    assert (end["status"], end["time"]) == ("finished", ended)
    assert steps_of(run) == list(range(1, NUM_STEPS + 1))
    assert main(["attach", run.run_id]) == 1  # nothing is open any more


def test_a_left_run_says_so_and_can_be_stopped_and_resumed(
    command: Command, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not resumed while it goes on; `stop` has it save and closes the record."""
    write_job(command.folder, tiny_model, max_steps=100_000)
    run = command.train()
    wait_until(first_step(run))
    command.kill_supervisor()
    wait_until(lambda: is_locked(run) or None)  # its container takes the lock
    assert main(["runs"]) == 0 and "running (unattended)" in capsys.readouterr().out
    assert main(["resume", run.run_id, "--backend", "docker", "--offline"]) == 1
    assert f"trainbox attach {run.run_id}" in capsys.readouterr().err
    assert main(["stop", run.run_id]) == 0
    newest, _ = newest_valid(run.checkpoints)
    assert newest is not None and read_state(run).status == "stopped"
    threading.Thread(target=interrupt_after_resume, args=(run,), daemon=True).start()
    assert main(["resume", run.run_id, "--backend", "docker", "--offline"]) == 130
    assert [event["checkpoint"] for event in read_events(run.journal) if event["event"] == "resume"]
    assert container_of(run) not in names_of_containers()


def interrupt_after_resume(run: RunDir) -> None:
    """Press Ctrl-C when the second attempt has done a step."""
    wait_until(first_step(run, attempt=2))
    os.kill(os.getpid(), signal.SIGINT)
