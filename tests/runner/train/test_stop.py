"""Signals and the parent's death, without the training stack."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

WAITING = """
import sys, time
from runner.train.stop import Stop
stop = Stop()
stop.install()
with stop.at_step_end():
    print("in a step", flush=True)
    while not stop.requested:
        time.sleep(0.01)
    print(stop.exit_code, stop.reason, flush=True)
    time.sleep(60)
"""
STARTING = """
import time
from runner.train.stop import Stop
stop = Stop()
stop.install()
print("starting", flush=True)
time.sleep(60)
"""
ORPHAN = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", '''
import os, sys, time
from runner.train.stop import Stop
stop = Stop()
stop.install()
stop.follow_parent(int(sys.argv[1]))
with stop.at_step_end():
    print("following", flush=True)
    while not stop.requested:
        time.sleep(0.01)
print("asked to end", flush=True)
''', str(os.getpid())], stdout=1)
time.sleep(60)
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGTERM, "75 signal"),
        (signal.SIGHUP, "75 signal"),
        (signal.SIGINT, "130 signal"),
        (signal.SIGUSR1, "3 limit"),
    ],
)
def test_the_first_signal_is_noted_and_the_second_ends(number: signal.Signals, said: str) -> None:
    """In a step the first signal waits for its end; the second, of any kind, does not."""
    with start(WAITING) as process:
        assert line_of(process) == "in a step"
        process.send_signal(number)
        assert line_of(process) == said
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [(signal.SIGTERM, 75), (signal.SIGHUP, 75), (signal.SIGINT, 130), (signal.SIGUSR1, 3)],
)
def test_outside_a_step_the_first_signal_ends(number: signal.Signals, exit_code: int) -> None:
    """While the stack is imported or the result saved, leaving at once loses nothing."""
    with start(STARTING) as process:
        assert line_of(process) == "starting"
        process.send_signal(number)
        assert process.wait(timeout=60) == exit_code


def test_the_child_is_asked_to_end_when_its_parent_dies() -> None:
    """A supervisor that is killed cannot leave a training process that nobody watches."""
    with start(ORPHAN) as parent:
        assert line_of(parent) == "following"
        parent.kill()
        assert line_of(parent) == "asked to end"


def test_word_of_the_parents_death_that_comes_twice_is_one_signal() -> None:
    """The kernel repeats it for threads of the parent; only a living parent asks twice."""
    goes_on = 'print(os.getpid(), flush=True); sys.stdin.readline(); print("asked'
    code = ORPHAN.replace('print("asked', goes_on)
    with start(code) as parent:
        assert line_of(parent) == "following"
        parent.kill()
        orphan = int(line_of(parent))
        os.kill(orphan, signal.SIGTERM)
        assert parent.stdin is not None
        parent.stdin.write("go on\n")
        parent.stdin.flush()
        assert line_of(parent) == "asked to end"


def test_a_parent_that_died_before_counts_too() -> None:
    """The kernel was asked too late: the process sees that it has another parent."""
    code = STARTING.replace(
        'print("starting", flush=True)', "import sys; stop.follow_parent(int(sys.argv[1]))"
    )
    with start(code, "1" if os.getpid() != 1 else "2") as process:
        assert process.wait(timeout=60) == 75
