"""Whether the training process has hung: no sign of life for longer than it ever took.

Time is counted in the caller's own looks, each at most a second: a laptop that slept, a machine
that was paused and a supervisor that was stopped (SIGSTOP) have looked at nothing meanwhile, and
blame nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path

START_SECONDS = 1800.0  # a large model is read from a slow disk, or a graph compiled
FLOOR_SECONDS = 900.0  # a checkpoint of a large model is written to a slow disk
TIMES_LONGEST = 20.0  # of the longest pause that ended by itself
MOST_PER_LOOK_SECONDS = 1.0


class Watchdog:
    """Counts the seconds without a sign of life.

    Args:
        limit_seconds: how many are too many; None: from the pauses seen so far.
    """

    def __init__(self, limit_seconds: float | None = None) -> None:
        self._fixed = limit_seconds
        self._sign: Hashable = None
        self._looked: float | None = None
        self._silent = 0.0
        self._longest = 0.0

    def limit_seconds(self, *, has_stepped: bool) -> float:
        """Return how long a silence may last now."""
        if self._fixed is not None:
            return self._fixed
        floor = FLOOR_SECONDS if has_stepped else START_SECONDS
        return max(floor, TIMES_LONGEST * self._longest)

    def is_stalled(
        self,
        sign: Hashable,
        now: float,
        *,
        has_stepped: bool,
        is_paused: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Look once; return whether the silence has lasted too long.

        Args:
            sign: changes with every sign of life.
            now: of a monotonic clock, in seconds.
            has_stepped: whether the attempt has done an optimiser step.
            is_paused: tells whether somebody has stopped the process (SIGSTOP, a debugger, `docker
                pause`); asked when half of the time is over, for it may cost a request.
        """
        passed = now - self._looked if self._looked is not None else 0.0
        self._looked = now
        if sign != self._sign:
            self._longest = max(self._longest, self._silent)
            self._sign, self._silent = sign, 0.0
            return False
        limit = self.limit_seconds(has_stepped=has_stepped)
        if self._silent < limit / 2 or not is_paused():
            self._silent += min(passed, MOST_PER_LOOK_SECONDS)
        return self._silent > limit


def is_stopped(process_id: int) -> bool:
    """Return whether a process of this machine is stopped by a signal or a debugger."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in "Tt"  # a name may hold brackets


def tree_of(process_id: int) -> list[int]:
    """Return a process of this machine and its descendants, oldest first."""
    tree = [process_id]
    for process in tree:  # grows while it is walked
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            try:
                tree += map(int, task.read_text(encoding="ascii").split())
            except OSError:
                continue
    return tree
