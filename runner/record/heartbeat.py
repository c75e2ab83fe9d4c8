"""Signs of life of the training process: the time stamp of a file, read by the supervisor.

Finer than the journal, which says nothing during a long step or evaluation, and it crosses the wall
of a container.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

EVERY_SECONDS = 1.0


class Heartbeat:
    """The beating side; a beat costs nothing but once a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = 0.0
        path.touch()

    def beat(self) -> None:
        """Say that something was done: a micro-batch, a batch of an evaluation."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY_SECONDS
        try:
            os.utime(self._path)
        except OSError:
            pass  # a sign of life must not be what ends it


def last_beat(path: Path) -> int:
    """Return a number that changes with every beat; 0 before the first."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
