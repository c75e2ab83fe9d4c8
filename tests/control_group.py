"""A limit that the kernel keeps on the memory of processes that join it: cgroup v1 or v2."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
V1 = ROOT / "memory", "memory.limit_in_bytes"
V2 = ROOT, "memory.max"


@contextmanager
def memory_limit(num_bytes: int) -> Iterator[str]:
    """Make a control group of so much memory; yields Python by which a process joins it.

    Raises:
        OSError: this machine, or this user, has no groups to make.
    """
    parent, limit = V1 if (V1[0] / V1[1]).exists() else V2
    group = parent / f"trainbox-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / limit).write_text(str(num_bytes), encoding="ascii")
        yield f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"
    finally:
        group.rmdir()
