"""Writing into the cache: one writer at a time, enough room, and a plain word when it fails."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from runner.errors import BackendError

Say = Callable[[str], None]

REPORT_SECONDS = 5.0


@contextlib.contextmanager
def sole_writer(root: Path, *, say: Say) -> Iterator[Path]:
    """Hold the lock of a cache folder and give a staging folder that is gone afterwards.

    Staging folders left by a killed process are removed first. What is finished is moved from the
    staging folder into `root` with `os.replace`: it is there whole or not at all.

    Raises:
        BackendError: the disk is full, or the cache cannot be written.
    """
    with _writing(root):
        root.mkdir(parents=True, exist_ok=True)
        with (root / ".lock").open("w") as lock:
            _wait_for(lock.fileno(), root, say)
            for left_over in root.glob(".staging-*"):
                shutil.rmtree(left_over, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=".staging-", dir=root) as staging:
                yield Path(staging)


def require_space(folder: Path, num_bytes: int, *, purpose: str) -> None:
    """Raise before the work if the file system of a folder has less room than it needs."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < num_bytes:
        raise BackendError(
            id="cache-disk-full",
            what=f"{purpose} needs {num_bytes / 1e6:,.1f} MB, {free_bytes / 1e6:,.1f} MB are free",
            where=str(folder),
            why="the work would stop half-way",
            fix="free some space, or set TRAINBOX_CACHE (HF_HOME for hub models) to a larger disk",
        )


@contextlib.contextmanager
def growth_reported(folder: Path, total_bytes: int, *, say: Say) -> Iterator[None]:
    """Say every few seconds how much of a download has arrived below a folder."""
    before = _num_bytes_below(folder)
    done = threading.Event()

    def report() -> None:
        while not done.wait(REPORT_SECONDS):
            arrived = min(_num_bytes_below(folder) - before, total_bytes)
            say(f"  {readable_size(arrived)} of {readable_size(total_bytes)}")

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        done.set()
        reporter.join()


def _num_bytes_below(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # it has just been moved
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def readable_size(num_bytes: int) -> str:
    """Return `92.9 MB`, `7.7 GB`."""
    if num_bytes >= 10**9:
        return f"{num_bytes / 10**9:.1f} GB"
    return f"{num_bytes / 10**6:.1f} MB"


def _wait_for(lock: int, root: Path, say: Say) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"another trainbox is preparing {root.name}; waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)


@contextlib.contextmanager
def _writing(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BackendError(
                id="cache-disk-full",
                what="the disk of the cache is full",
                where=str(root),
                why="what is downloaded has no room there; nothing half was left behind",
                fix="free some space, or set TRAINBOX_CACHE to a larger disk",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise BackendError(
                id="cache-not-writable",
                what=f"the cache cannot be written ({error.strerror})",
                where=str(root),
                why="models and data are kept there once and used by all runs",
                fix="set TRAINBOX_CACHE to a folder you can write",
            ) from error
        raise
