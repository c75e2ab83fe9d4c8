"""Say what is being waited for: one line rewritten on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

PLAIN_SECONDS = 15.0  # between two plain lines of the same step


class Progress:
    """Steps, each with a start, any number of updates and an end; all go to `stream`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_live = stream.isatty()
        self._step = ""
        self._started = 0.0
        self._last_plain = 0.0

    def note(self, text: str) -> None:
        """Print one line that stays."""
        self._erase()
        print(text, file=self._stream, flush=True)

    def start(self, step: str) -> None:
        """Begin a step: `installing 121 packages`."""
        self._step = step
        self._started = self._last_plain = time.monotonic()
        if self._is_live:
            self.update("")
        else:
            self.note(f"{step} …")

    def update(self, detail: str) -> None:
        """Show how far the step is; call it as often as you like."""
        now = time.monotonic()
        line = f"{self._step} … {detail}".rstrip() + f" ({elapsed(now - self._started)})"
        if self._is_live:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{line[:width]}")
            self._stream.flush()
        elif now - self._last_plain >= PLAIN_SECONDS:
            self._last_plain = now
            self.note(f"  {line}")

    def finish(self, result: str = "done") -> None:
        """End the step with a line that stays."""
        self.note(f"{self._step}: {result} ({elapsed(time.monotonic() - self._started)})")
        self._step = ""

    def _erase(self) -> None:
        if self._is_live:
            self._stream.write("\r\x1b[K")


def elapsed(seconds: float) -> str:
    """Return a time span as `8 s` or `2 min 05 s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def megabytes(num_bytes: int) -> str:
    """Return a size as `12 MB` or `1.2 GB`."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"
