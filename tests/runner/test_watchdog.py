"""A silence that is too long is a hang; a machine that slept is not."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from runner.watchdog import (
    FLOOR_SECONDS,
    START_SECONDS,
    Watchdog,
    is_stopped,
    tree_of,
)


def silence(dog: Watchdog, seconds: float, *, begin: float = 0.0, has_stepped: bool = True) -> bool:
    """Look every half second without a sign of life; return whether that was a stall."""
    looks = [begin + 0.5 * number for number in range(int(2 * seconds) + 1)]
    return any(dog.is_stalled("same", now, has_stepped=has_stepped) for now in looks)


def test_a_silence_beyond_the_limit_is_a_stall() -> None:
    """The job's own limit counts, from the last sign of life."""
    dog = Watchdog(10)
    assert not silence(dog, 9)
    assert not dog.is_stalled("a step", 10, has_stepped=True)
    assert not silence(dog, 9, begin=11)
    assert silence(dog, 5, begin=20)


def test_a_clock_that_jumps_is_no_stall() -> None:
    """A laptop that slept for a night has looked at nothing meanwhile."""
    dog = Watchdog(10)
    assert not silence(dog, 5)
    assert not dog.is_stalled("same", 8 * 3600, has_stepped=True)


def test_a_process_that_somebody_stopped_is_no_stall() -> None:
    """SIGSTOP or a debugger may hold a run as long as they like."""
    dog = Watchdog(10)
    assert not any(
        dog.is_stalled("same", now, has_stepped=True, is_paused=lambda: True) for now in range(100)
    )


def test_without_a_limit_of_the_job_the_run_sets_its_own() -> None:
    """Start-up may take longest; later, twenty times the longest pause that ended by itself."""
    assert not silence(Watchdog(), START_SECONDS - 1, has_stepped=False)
    assert silence(Watchdog(), FLOOR_SECONDS + 2)
    slow = Watchdog()
    assert not silence(slow, 100)
    assert not slow.is_stalled("a slow step", 101, has_stepped=True)
    assert not silence(slow, 1900, begin=102)
    assert silence(slow, 200, begin=2003)


def test_a_stopped_process_is_seen() -> None:
    """The state of a real process, before and after SIGSTOP; its family is found."""
    with subprocess.Popen(["sh", "-c", "sleep 60 & wait"]) as child:
        try:
            deadline = time.monotonic() + 60
            while len(tree_of(child.pid)) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            tree = tree_of(child.pid)
            assert tree[0] == child.pid and len(tree) == 2
            assert not is_stopped(child.pid)
            child.send_signal(signal.SIGSTOP)
            while not is_stopped(child.pid) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert is_stopped(child.pid)
        finally:
            for process in reversed(tree_of(child.pid)):
                os.kill(process, signal.SIGKILL)
    assert not is_stopped(2**22 + 1)
