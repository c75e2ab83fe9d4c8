"""The supervisor: a real child process, real signals, the journal closed truthfully."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.backends.host import HostProcess
from runner.errors import BackendError
from runner.plan import Plan
from runner.record.journal import read_events
from runner.record.layout import RunDir
from runner.record.state import Lock, read_state
from runner.supervise import Outcome, Supervisor, judge
from tests.runner.plans import tiny_plan

PREAMBLE = """
import json, os, signal, sys, time
run = sys.argv[1]
supervisor = int(os.environ["TRAINBOX_SUPERVISOR_PID"])
def write(**event):
    event = {"time": time.time(), "attempt": int(os.environ["TRAINBOX_ATTEMPT"]), **event}
    with open(run + "/journal.jsonl", "a") as file:
        file.write(json.dumps(event) + "\\n")
"""


class ScriptBackend:
    """A backend whose training process is a few lines of Python."""

    name = "script"

    def __init__(self, script: str) -> None:
        self.script = PREAMBLE + textwrap.dedent(script)

    def prepare(self, plan: Plan, *, say: Callable[[str], None]) -> None:
        """Do nothing, as the host backend."""

    def surroundings(self) -> Mapping[str, Any]:
        return {}

    def launch(self, run: RunDir, environment: Mapping[str, str], lock_fd: int) -> HostProcess:
        with run.log.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-c", self.script, str(run.path)],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
                pass_fds=(lock_fd,),
            )
        return HostProcess(child)


def make_supervisor(
    path: Path, script: str, *, max_seconds: float | None = None, grace_seconds: float = 5
) -> tuple[Supervisor, list[str]]:
    """Return a supervisor of a script, and the list its terminal lines go to."""
    terminal: list[str] = []
    plan = tiny_plan()
    path.mkdir(exist_ok=True)
    plan.write(RunDir(path).plan)
    supervisor = Supervisor(
        RunDir(path),
        plan,
        ScriptBackend(script),
        on_event=lambda event: None,
        on_terminal=terminal.append,
        max_seconds=max_seconds,
        grace_seconds=grace_seconds,
    )
    return supervisor, terminal


def test_success_is_finished(tmp_path: Path) -> None:
    """A child that ends with 0 makes a finished run whose journal opens and closes."""
    supervisor, _ = make_supervisor(tmp_path / "run", "write(event='step', step=1, loss=1.0)")
    assert supervisor.supervise() == Outcome(
        status="finished", reason="all steps done", exit_code=0
    )
    events = read_events(RunDir(tmp_path / "run").journal)
    assert [event["event"] for event in events] == ["start", "step", "end"]
    assert read_state(RunDir(tmp_path / "run")).status == "finished"


def test_standard_output_goes_to_the_terminal_alone(tmp_path: Path) -> None:
    """What the child prints is handed to the terminal and stands in no file of the run."""
    supervisor, terminal = make_supervisor(tmp_path / "run", "print('an answer')")
    supervisor.supervise()
    assert terminal == ["an answer"]
    assert all(b"an answer" not in path.read_bytes() for path in (tmp_path / "run").iterdir())


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [(signal.SIGINT, 130, "stopped"), (signal.SIGTERM, 75, "preempted")],
)
def test_signals_are_passed_on_once(tmp_path: Path, number: int, code: int, status: str) -> None:
    """Ctrl-C and SIGTERM reach the child, whose exit code becomes the run's."""
    script = f"""
    signal.signal({number}, lambda *_: sys.exit({code}))
    os.kill(supervisor, {number})
    time.sleep(600)
    """
    supervisor, _ = make_supervisor(tmp_path / "run", script, grace_seconds=60)
    outcome = supervisor.supervise()
    assert (outcome.status, outcome.exit_code) == (status, code)


def test_a_child_that_ignores_signals_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    """A stopping child gets its grace period and not more."""
    script = """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.kill(supervisor, signal.SIGTERM)
    time.sleep(600)
    """
    supervisor, _ = make_supervisor(tmp_path / "run", script, grace_seconds=1)
    outcome = supervisor.supervise()
    assert outcome.exit_code == 1 and outcome.status == "preempted"


def test_the_time_limit_asks_with_sigusr1(tmp_path: Path) -> None:
    """At the job's limit the child is asked to save and end with 3."""
    script = """
    signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    time.sleep(600)
    """
    supervisor, _ = make_supervisor(tmp_path / "run", script, max_seconds=0.1, grace_seconds=60)
    # blocked as the child inherits it: a signal before its handler stands waits for that
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        assert supervisor.supervise().status == "limit"
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])


def test_a_named_failure_becomes_the_reason(tmp_path: Path) -> None:
    """The fault the child wrote down is the reason of the end."""
    script = """
    with open(run + "/failure.json", "w") as file:
        json.dump({"id": "train-nan", "what": "loss is NaN at step 3"}, file)
    sys.exit(1)
    """
    supervisor, _ = make_supervisor(tmp_path / "run", script)
    assert supervisor.supervise().reason == "loss is NaN at step 3 [train-nan]"


def test_a_killed_child_is_failed_with_its_signal(tmp_path: Path) -> None:
    """kill -9 from outside is a failed run that says so."""
    supervisor, _ = make_supervisor(tmp_path / "run", "os.kill(os.getpid(), 9)")
    outcome = supervisor.supervise()
    assert outcome.status == "failed" and "SIGKILL" in outcome.reason


def test_an_attempt_counts_up_and_old_failures_do_not_leak(tmp_path: Path) -> None:
    """The second attempt is number two, and the first one's fault is not its own."""
    make_supervisor(tmp_path / "run", "open(run + '/failure.json', 'w').write('{}'); 1 / 0")[
        0
    ].supervise()
    supervisor, _ = make_supervisor(tmp_path / "run", "")
    assert supervisor.supervise().status == "finished"
    state = read_state(RunDir(tmp_path / "run"))
    assert (state.attempts, state.status) == (2, "finished")


def test_torn_lines_are_cut_off_at_both_ends_of_an_attempt(tmp_path: Path) -> None:
    """A power cut before it, or a full disk in it, leaves half a line and not a damaged run."""
    script = """
    write(event='step', step=1, loss=1.0)
    open(run + '/journal.jsonl', 'a').write('{"event": "step", "st')
    """
    supervisor, _ = make_supervisor(tmp_path / "run", script)
    seen: list[str] = []
    run = RunDir(tmp_path / "run")
    run.journal.write_text('{"event": "old", "attempt": 1}\n{"event": "step", "ste')
    supervisor = Supervisor(
        run,
        supervisor.plan,
        supervisor.backend,
        on_event=lambda event: seen.append(event["event"]),
        on_terminal=lambda line: None,
        max_seconds=None,
        grace_seconds=5,
    )
    supervisor.supervise()
    assert [event["event"] for event in read_events(run.journal)] == ["old", "start", "step", "end"]
    assert seen == ["start", "step", "end"]
    assert read_state(run).status == "finished"


def test_a_run_in_use_is_refused(tmp_path: Path) -> None:
    """Two supervisors never work in one run directory."""
    supervisor, _ = make_supervisor(tmp_path / "run", "")
    lock = Lock(RunDir(tmp_path / "run"))
    assert lock.acquire(0)
    with pytest.raises(BackendError, match="run-in-use"):
        supervisor.supervise()
    lock.close()


def test_the_lock_outlives_the_supervisor_with_its_child(tmp_path: Path) -> None:
    """As long as an orphaned training process writes, the run counts as running."""
    run = RunDir(tmp_path)
    lock = Lock(run)
    assert lock.acquire(0)
    child = subprocess.Popen(["sleep", "600"], pass_fds=(lock.fd,))
    lock.close()
    second = Lock(run)
    assert not second.acquire(0)
    child.kill()
    child.wait()
    assert second.acquire(1)
    second.close()


def test_children_of_the_child_do_not_survive(tmp_path: Path) -> None:
    """What the training process started and left behind is ended with it."""
    script = """
    import subprocess
    print(subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL).pid, flush=True)
    """
    supervisor, terminal = make_supervisor(tmp_path / "run", script)
    supervisor.supervise()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{terminal[0]}/stat").read_text().split()[2]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the orphan is still alive")


def test_exit_codes_are_judged() -> None:
    """Every way a child can end has its status and exit code."""
    assert judge(75, [15], None, "").exit_code == 75
    assert judge(3, [], None, "").status == "limit"
    assert judge(-11, [], None, "").reason == "died of SIGSEGV"
    assert "boom" in judge(1, [], None, "x\nValueError: boom\n\n").reason
    assert judge(-9, [2, 2], None, "").status == "stopped"
