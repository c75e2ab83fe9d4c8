"""Taking over an attempt whose supervisor is gone: the record is closed as by its first one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from runner.backends.base import Process
from runner.backends.host import HostBackend, HostProcess
from runner.claim import only_supervisor, refuse_in_use
from runner.errors import BackendError
from runner.plan import read_plan
from runner.record.journal import Journal, read_events
from runner.record.layout import RunDir
from runner.record.state import Lock, read_state
from runner.summary import render_state
from runner.supervise import Supervisor
from tests.runner.plans import tiny_plan

STEP = """
with open(sys.argv[1] + "/journal.jsonl", "a") as file:
    event = {"event": "step", "time": time.time(), "attempt": 1, "step": 2, "loss": 1.0}
    file.write(json.dumps(event) + "\\n")
"""


class LeftBackend(HostBackend):
    """A backend whose process was started by a supervisor that has died."""

    name = "docker"

    def __init__(self, process: Process | None) -> None:
        self._process = process

    def adopt(self, run: RunDir, *, say: Callable[[str], None]) -> Process | None:
        return self._process

    def launch(self, run: RunDir, environment: Mapping[str, str], lock_fd: int) -> HostProcess:
        return ended("os._exit(0)")


def ended(how: str) -> HostProcess:
    """Return a process that has ended, by a line of Python."""
    child = subprocess.Popen([sys.executable, "-c", f"import os; {how}"])
    child.wait()
    return HostProcess(child)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run whose supervisor wrote the start of an attempt and was killed."""
    run = RunDir(tmp_path / "left")
    run.path.mkdir()
    tiny_plan().write(run.plan)
    run.log.touch()
    with Journal(run.journal, 1) as journal:
        journal.write("start", backend="docker", num_steps=2, time=time.time() - 100)
        journal.write("step", step=1, loss=2.0)
    run.supervisor.write_text(json.dumps({"backend": "docker", "supervisor_pid": 1}))
    return run


@pytest.fixture
def child(run: RunDir) -> Iterator[Callable[[str], HostProcess]]:
    """Start a left process from a few lines of Python; what still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(script: str) -> HostProcess:
        code = "import json, os, signal, sys, time\n" + textwrap.dedent(script)
        command = [sys.executable, "-c", code, str(run.path)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True))
        return HostProcess(started[-1])

    yield start
    for process in started:
        process.kill()
        process.wait()


def supervisor_of(
    run: RunDir, process: Process | None, max_seconds: float | None = None
) -> Supervisor:
    return Supervisor(
        run,
        tiny_plan(),
        LeftBackend(process),
        on_event=lambda event: None,
        on_terminal=lambda line: None,
        max_seconds=max_seconds,
        grace_seconds=60,
    )


def test_an_attempt_that_goes_on_is_watched_to_its_end(
    run: RunDir, child: Callable[[str], HostProcess]
) -> None:
    """No second start is written, the child's steps stand where they belong, the end is true."""
    outcome = supervisor_of(run, child("time.sleep(0.5)\n" + STEP)).attach()
    assert outcome.status == "finished"
    events = read_events(run.journal)
    assert [event["event"] for event in events] == ["start", "step", "step", "end"]
    assert events[-1]["attempt"] == 1 and events[-1]["seconds"] > 100


def test_a_container_that_ended_unseen_is_closed_with_its_own_time(run: RunDir) -> None:
    """Exit code and time of the end are the engine's, not those of the moment of attaching."""
    process = ended("os._exit(75)")
    process.ended = time.time() - 50
    assert supervisor_of(run, process).attach().status == "preempted"
    end = read_events(run.journal)[-1]
    start = read_events(run.journal)[0]["time"]
    assert (end["time"], end["seconds"]) == (process.ended, process.ended - start)


def test_an_end_for_want_of_memory_is_told_from_a_kill(run: RunDir) -> None:
    """137 is out of memory where the engine says so, and a kill where it says that it was not."""
    process = ended("os.kill(os.getpid(), 9)")
    process.is_out_of_memory = True
    assert "out of memory" in supervisor_of(run, process).attach().reason


def test_a_left_run_that_wanted_too_much_memory_goes_on_in_halves(run: RunDir) -> None:
    """Taken over, a run is mended as by its first supervisor: another attempt, half as wide."""
    before = read_plan(run.plan).training
    assert before.micro_batch_size > 1
    with Journal(run.journal, 1) as journal:
        journal.write("phase", name="train")
    process = ended("os.kill(os.getpid(), 9)")
    process.is_out_of_memory = True
    assert supervisor_of(run, process).attach().status == "finished"
    after = read_plan(run.plan).training
    assert after.micro_batch_size * 2 == before.micro_batch_size
    events = read_events(run.journal)
    assert [event["attempt"] for event in events if event["event"] == "start"] == [1, 2]
    assert [event["fault"] for event in events if event["event"] == "end"] == [
        "train-killed-for-memory",
        None,
    ]


def test_the_signal_to_send_and_the_limit_reach_the_left_process(
    run: RunDir, child: Callable[[str], HostProcess]
) -> None:
    """`stop` asks with SIGINT; the time limit counts from the start of the attempt."""
    script = """
    signal.signal(signal.SIGUSR1, lambda *_: os._exit(3))
    print("ready", flush=True)
    time.sleep(600)
    """
    process = child(script)
    assert process.terminal is not None and process.terminal.readline() == b"ready\n"
    assert supervisor_of(run, process, max_seconds=90).attach().status == "limit"


def test_ctrl_c_reaches_the_left_process(run: RunDir, child: Callable[[str], HostProcess]) -> None:
    """What is asked for at once is passed on as a signal of the user's own."""
    script = """
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    print("ready", flush=True)
    time.sleep(600)
    """
    process = child(script)
    assert process.terminal is not None and process.terminal.readline() == b"ready\n"
    assert supervisor_of(run, process).attach(ask=signal.SIGINT).exit_code == 130


def test_what_cannot_be_taken_over_is_refused(run: RunDir) -> None:
    """No container, a process of the host, a run somebody watches, a record that is closed."""
    with pytest.raises(BackendError, match="run-not-attachable"):
        supervisor_of(run, None).attach()
    on_host = supervisor_of(run, None)
    on_host.backend = HostBackend()
    with pytest.raises(BackendError, match="run-not-attachable"):
        on_host.attach()
    with only_supervisor(run), pytest.raises(BackendError, match="run-in-use"):
        supervisor_of(run, ended("os._exit(0)")).attach()
    assert supervisor_of(run, ended("os._exit(0)")).attach().status == "finished"
    with pytest.raises(BackendError, match="run-not-attachable"):
        supervisor_of(run, ended("os._exit(0)")).attach()


def test_a_run_that_nobody_watches_says_so_and_leads_to_attach(run: RunDir) -> None:
    """While its container holds the lock the run is running, unattended; `resume` is refused."""
    lock = Lock(run)
    assert lock.acquire(0)
    state = read_state(run)
    assert (state.status, state.is_attended) == ("running", False)
    assert "trainbox attach left" in render_state(run, state)
    with pytest.raises(BackendError, match="trainbox attach left"):
        refuse_in_use(run)
    with pytest.raises(BackendError, match="trainbox attach left"):
        supervisor_of(run, None).supervise()
    lock.close()
    state = read_state(run)
    assert state.status == "interrupted" and "the engine may know" in str(state.reason)
    assert "trainbox attach left" in render_state(run, state)
