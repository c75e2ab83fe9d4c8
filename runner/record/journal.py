"""The journal: append-only events of a run, one JSON object a line (docs/architecture.md).

One writer at a time. A line is durable when `write` returns; a line torn by a kill is cut off when
the next writer opens the file, and is not seen by readers.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, BinaryIO

Event = dict[str, Any]

# Ids of warnings that decide how a run goes on (docs/architecture.md)
NOT_FINITE = "train-batch-not-finite"
BATCH_SKIPPED = "train-batch-skipped"
MICRO_BATCH_HALVED = "train-micro-batch-halved"
RESUME_FORCED = "resume-forced"
SURROUNDINGS_CHANGED = "resume-surroundings"


class Journal:
    """The writing end, for one attempt of a run."""

    def __init__(self, path: Path, attempt: int) -> None:
        self.attempt = attempt
        self._file: BinaryIO = path.open("ab")
        _cut_torn_line(path)

    def write(self, event: str, **fields: Any) -> Event:
        """Append one event, flushed to disk, and return it as written."""
        line: Event = {"event": event, "time": time.time(), "attempt": self.attempt, **fields}
        # allow_nan stays on: a NaN loss is a fact of the run, and Python reads it back
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fdatasync(self._file.fileno())
        return line

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_from(
    path: Path, offset: int = 0, *, max_bytes: int | None = None
) -> tuple[list[Event], int]:
    """Read the complete lines from a byte offset on; return them and the next offset.

    A missing file reads as empty, a line that is not complete yet is left for the next call.
    With max_bytes about so much is read at once; a longer line is read whole.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read() if max_bytes is None else file.read(max_bytes) + file.readline()
    except FileNotFoundError:
        return [], offset
    end = data.rfind(b"\n") + 1
    return [json.loads(line) for line in data[:end].splitlines()], offset + end


def read_events(path: Path) -> list[Event]:
    """Read all complete lines."""
    return read_from(path)[0]


def end_of_lines(path: Path) -> int:
    """Return the bytes of a journal up to the end of its last complete line."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0


def _cut_torn_line(path: Path) -> None:
    end = end_of_lines(path)
    if end != path.stat().st_size:
        os.truncate(path, end)
