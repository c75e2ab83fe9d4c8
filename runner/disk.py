"""Whether the disks have room for a run: asked before it starts, not found out in the night.

What a run writes is predicted in `runner.requirements`; folders of one file system are added up.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.base_model.cache import readable_size
from runner.errors import PlanError
from runner.requirements import ModelSize, run_bytes
from runner.spec import Job


@dataclass(frozen=True, kw_only=True)
class Need:
    """What will be written below a folder."""

    purpose: str
    folder: Path
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class Disk:
    """One file system that a run writes to."""

    needs: tuple[Need, ...]
    free_bytes: int

    @property
    def needed_bytes(self) -> int:
        return sum(need.num_bytes for need in self.needs)

    @property
    def has_room(self) -> bool:
        return self.needed_bytes <= self.free_bytes

    @property
    def text(self) -> str:
        """Return `checkpoints and result 1.2 GB + weights 7.7 GB in /runs: 31.0 GB free`."""
        parts = " + ".join(f"{need.purpose} {readable_size(need.num_bytes)}" for need in self.needs)
        return f"{parts} in {self.needs[0].folder}: {readable_size(self.free_bytes)} free"


def needs_of_run(
    job: Job, config: Mapping[str, Any], runs: Path, *, present_bytes: int = 0
) -> list[Need]:
    """Return what a run will write; empty where the size of the model's adapter is not known.

    Args:
        config: config.json of the base model.
        runs: the folder of runs.
        present_bytes: of checkpoints that a run that goes on has already.
    """
    total = run_bytes(job, ModelSize(name="", config=config))
    num_bytes = max(total - present_bytes, 0)
    purpose = f"checkpoints ({job.checkpoint.keep} kept) and result"
    return [Need(purpose=purpose, folder=runs, num_bytes=num_bytes)] if num_bytes else []


def disks_of(needs: Iterable[Need]) -> list[Disk]:
    """Return the file systems that are written to, each with all that will lie there."""
    found: dict[int, list[Need]] = {}
    for need in needs:
        found.setdefault(os.stat(_existing(need.folder)).st_dev, []).append(need)
    return [
        Disk(needs=tuple(group), free_bytes=shutil.disk_usage(_existing(group[0].folder)).free)
        for group in found.values()
    ]


def require_room(disks: Iterable[Disk], job_file: str) -> None:
    """Refuse a run that would fill a disk.

    Raises:
        PlanError: what is needed, what is free, and what can be done.
    """
    full = [disk for disk in disks if not disk.has_room]
    if not full:
        return
    missing = sum(disk.needed_bytes - disk.free_bytes for disk in full)
    raise PlanError(
        id="plan-no-room",
        what="; ".join(f"a disk is too small: {disk.text}" for disk in full),
        where=job_file,
        why="the run would train until a checkpoint cannot be written, and end there",
        fix=f"free {readable_size(missing)}, set TRAINBOX_RUNS (weights: TRAINBOX_CACHE, HF_HOME) "
        "to a larger disk, or keep fewer: --set checkpoint.keep=2; --force starts it all the same",
    )


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
