"""What an attempt left behind that tells why it ended."""

from __future__ import annotations

import json
import os
import shutil
import signal

from runner.backends.base import Process
from runner.oom import OomKills
from runner.record.layout import RunDir

LOG_TAIL_BYTES = 8192
FULL_BYTES = 16 * 1024  # less room than that, and nothing can be written any more


def named_failure(run: RunDir) -> dict[str, str] | None:
    """Return id and text of the fault that the training process named, if it could."""
    try:
        failure = json.loads(run.failure.read_text(encoding="utf-8"))
        return {"id": str(failure["id"]), "what": str(failure["what"])}
    except (OSError, ValueError, KeyError, TypeError):
        return _full_disk(run)


def _full_disk(run: RunDir) -> dict[str, str] | None:
    """Return the fault that a full disk left no room to write down."""
    free = shutil.disk_usage(run.path).free
    if free >= FULL_BYTES:
        return None
    return {"id": "train-disk-full", "what": f"the disk of the run is full ({free} bytes free)"}


def log_tail(run: RunDir) -> str:
    """Return the end of the log."""
    with run.log.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_TAIL_BYTES))
        return file.read().decode("utf-8", errors="replace")


def is_out_of_memory(process: Process, exit_code: int, kills: OomKills | None) -> bool | None:
    """Return whether the kernel killed a process for want of memory; None: not known.

    Args:
        kills: the kernel's count since it was started; None: not known.
    """
    if process.is_out_of_memory is not None or exit_code != -signal.SIGKILL:
        return process.is_out_of_memory
    return None if kills is None else kills.have_risen()
