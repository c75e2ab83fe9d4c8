"""A limit that the kernel keeps on the memory of what a process starts: cgroup v1 or v2."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
EMPTY_SECONDS = 60.0  # until the last process of a group has gone


@contextmanager
def memory_limit(num_bytes: int, process_id: int) -> Iterator[None]:
    """Keep what a process starts meanwhile within so much memory.

    Args:
        process_id: of a process that does not grow itself.

    Raises:
        OSError: this machine, or this user, has no groups to make.
    """
    home, limit = home_of(process_id)
    group = home / f"trainbox-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / limit).write_text(str(num_bytes), encoding="ascii")
        (group / "cgroup.procs").write_text(str(process_id), encoding="ascii")
        yield
    finally:
        (home / "cgroup.procs").write_text(str(process_id), encoding="ascii")
        deadline = time.monotonic() + EMPTY_SECONDS
        while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        group.rmdir()


def home_of(process_id: int) -> tuple[Path, str]:
    """Return a process's own group and the name of the file that limits one's memory."""
    lines = Path(f"/proc/{process_id}/cgroup").read_text(encoding="utf-8").splitlines()
    paths = {
        controllers: path.lstrip("/") for _, controllers, path in (x.split(":", 2) for x in lines)
    }
    if "memory" in paths:
        return ROOT / "memory" / paths["memory"], "memory.limit_in_bytes"
    return ROOT / paths[""], "memory.max"
