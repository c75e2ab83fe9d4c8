"""The folder of all runs: refused with its reason before any work is done for a run."""

from __future__ import annotations

import os
from pathlib import Path

from runner.errors import PlanError


def check_root(root: Path) -> None:
    """Check that a run could be created below a folder; create nothing.

    Raises:
        PlanError: it is a file, or may not be written.
    """
    existing = next(path for path in (root, *root.parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise unusable(root, f"`{existing}` is not a folder")
    if os.statvfs(existing).f_flag & os.ST_RDONLY:
        raise unusable(root, "its disk is mounted read-only")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise unusable(root, f"`{existing}` may not be written by this user")


def unusable(root: Path, reason: str) -> PlanError:
    """Return the error for a folder that can hold no runs."""
    return PlanError(
        id="runs-folder",
        what=f"the folder of runs cannot be used: {reason}",
        where=str(root),
        why="each run and its checkpoints are kept there",
        fix="set TRAINBOX_RUNS to a folder you can write, or start in another one",
    )
