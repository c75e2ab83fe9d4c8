"""One training process, accompanied to its end: signals passed on, limits kept, hangs ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence

from runner.backends.base import Process
from runner.record.heartbeat import last_beat
from runner.record.journal import Event, end_of_lines, read_from
from runner.record.layout import RunDir
from runner.watchdog import Watchdog, tree_of

POLL_SECONDS = 0.1
DUMP_SECONDS = 2.0  # for a hung process to write its stacks before it is killed


class Tail:
    """The journal as it grows, and what it says of the attempt.

    Args:
        on_event: called with every line from now on, in order.
    """

    def __init__(self, run: RunDir, on_event: Callable[[Event], None]) -> None:
        self._journal = run.journal
        self._on_event = on_event
        self.phase = "start"
        self.has_stepped = False
        self.to_end()

    def to_end(self) -> None:
        """Pass over what is there; a line that is not complete is still to come, or is cut off."""
        self.offset = end_of_lines(self._journal)

    def follow(self) -> None:
        """Hand on what is new."""
        events, self.offset = read_from(self._journal, self.offset)
        for event in events:
            if event["event"] == "start":
                self.phase, self.has_stepped = "start", False
            elif event["event"] == "phase":
                self.phase = event["name"]
            self.has_stepped |= event["event"] == "step"
            self._on_event(event)


class Watch:
    """Watches a process until it has ended.

    Args:
        tail: of its run's journal; followed meanwhile.
        asked: signals for the process, in order; grows while it is watched.
        limit_at: when its time is over, of the monotonic clock; None: never.
        grace_seconds: how long it may take to stop.
        stall_seconds: how long it may show no sign of life; see Watchdog.
        is_local: whether its process id is one of this machine.
    """

    def __init__(
        self,
        run: RunDir,
        process: Process,
        tail: Tail,
        *,
        asked: Sequence[int],
        limit_at: float | None,
        grace_seconds: float,
        stall_seconds: float | None,
        is_local: bool,
    ) -> None:
        self.stalled: str | None = None  # why it was given up
        self._run = run
        self._process = process
        self._tail = tail
        self._asked = asked
        self._passed_on = 0
        self._limit_at = limit_at
        self._grace_seconds = grace_seconds
        self._watchdog = Watchdog(stall_seconds)
        self._is_local = is_local
        self._kill_at: float | None = None

    def until_end(self) -> int:
        """Return the exit code of the process."""
        while (exit_code := self._process.poll()) is None:
            now = time.monotonic()
            self._pass_on_signals(now)
            self._keep_time(now)
            self._look_for_a_hang(now)
            if self._kill_at is not None and now >= self._kill_at:
                self._process.kill()
            self._tail.follow()
            time.sleep(POLL_SECONDS)
        self._process.kill()  # what it may have left in its process group
        return exit_code

    def _pass_on_signals(self, now: float) -> None:
        for number in self._asked[self._passed_on :]:
            self._stop(number, now)
            self._passed_on += 1

    def _keep_time(self, now: float) -> None:
        if self._limit_at is not None and now >= self._limit_at:
            self._stop(signal.SIGUSR1, now)
            self._limit_at = None

    def _stop(self, number: int, now: float) -> None:
        self._process.send_signal(number)
        self._kill_at = self._kill_at or now + self._grace_seconds

    def _look_for_a_hang(self, now: float) -> None:
        if self._kill_at is not None:
            return
        has_stepped = self._tail.has_stepped
        if self._watchdog.is_stalled(
            (last_beat(self._run.heartbeat), self._tail.offset),
            now,
            has_stepped=has_stepped,
            is_paused=self._process.is_paused,
        ):
            limit = self._watchdog.limit_seconds(has_stepped=has_stepped)
            self.stalled = (
                f"no sign of life for {limit:.0f} s in phase `{self._tail.phase}`; "
                "its stacks are in the log"
            )
            self._dump_stacks()
            self._kill_at = now + DUMP_SECONDS

    def _dump_stacks(self) -> None:
        """Have the process write where it is into the log; on this machine, its workers too."""
        self._process.send_signal(signal.SIGUSR2)
        for worker in tree_of(self._process.pid)[1:] if self._is_local else []:
            try:
                os.kill(worker, signal.SIGUSR2)
            except ProcessLookupError:
                continue
