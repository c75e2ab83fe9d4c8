"""The folders of all runs and of the cache: refused with the reason before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from runner.errors import BackendError, PlanError


def check_root(root: Path) -> None:
    """Check that a run could be created below a folder; create nothing.

    Raises:
        PlanError: it is a file, or may not be written.
    """
    if reason := why_not_writable(root):
        raise unusable(root, reason)


def check_cache(cache: Path) -> None:
    """Check that models and data could be kept below a folder; create nothing.

    One that is there may be for reading alone, and hold all that is wanted.

    Raises:
        BackendError: it is a file, or may not be written.
    """
    if not cache.is_dir() and (reason := why_not_writable(cache)):
        raise BackendError(
            id="cache-not-writable",
            what=f"the cache cannot be written: {reason}",
            where=str(cache),
            why="models and data are kept there once and used by all runs",
            fix="set TRAINBOX_CACHE to a folder you can write",
        )


def why_not_writable(folder: Path) -> str | None:
    """Return why nothing can be created in a folder, which need not be there; None if it can."""
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not existing.is_dir():
        return f"`{existing}` is not a folder"
    system = os.statvfs(existing)
    if system.f_flag & os.ST_RDONLY:
        return "its disk is mounted read-only"
    if not system.f_blocks and not system.f_files:
        return f"`{existing}` is the kernel's own and holds no files"  # /proc, /sys
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"`{existing}` may not be written by this user"
    return None


def unusable(root: Path, reason: str) -> PlanError:
    """Return the error for a folder that can hold no runs."""
    return PlanError(
        id="runs-folder",
        what=f"the folder of runs cannot be used: {reason}",
        where=str(root),
        why="each run and its checkpoints are kept there",
        fix="set TRAINBOX_RUNS to a folder you can write, or start in another one",
    )
