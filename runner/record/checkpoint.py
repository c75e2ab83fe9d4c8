"""Checkpoints that are whole or invisible: written aside, hashed, renamed; newest valid one wins.

    checkpoints/.staging/…    being written; emptied at every start
    checkpoints/step-N/       sealed: all files, and MANIFEST.json with size and SHA-256 of each
    checkpoints/.trash-…      being deleted
    checkpoints/.bad-…        failed its hashes; kept for a person to look at

The order of a seal is what makes it hold through a power cut: every file is flushed to disk, then
the manifest, then the folder, then the rename, then the folder above. Standard library only: what
is sealed, and how it is read back, is known to `runner.train`.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import CheckpointError
from runner.record.layout import SCHEMA_VERSION, RunDir

MANIFEST = "MANIFEST.json"
PREFIX = "step-"
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Skipped:
    """A checkpoint that was newer than the one chosen, and why it was not taken."""

    checkpoint: str
    reason: str


@dataclass(frozen=True)
class Sealed:
    """A checkpoint just sealed, and what it cost."""

    path: Path
    sha256: str  # of its manifest
    bytes: int
    seconds: float


def checkpoint_path(checkpoints: Path, step: int) -> Path:
    """Return where the checkpoint of an optimiser step stands."""
    return checkpoints / f"{PREFIX}{step}"


def step_of(checkpoint: Path) -> int:
    """Return the optimiser step of a sealed folder."""
    return int(checkpoint.name.removeprefix(PREFIX))


def sealed_steps(checkpoints: Path) -> list[Path]:
    """Return all sealed folders, newest step first; none is opened."""
    folders = [
        folder
        for folder in checkpoints.glob(f"{PREFIX}*")
        if folder.name.removeprefix(PREFIX).isdigit() and folder.is_dir()
    ]
    return sorted(folders, key=step_of, reverse=True)


def seal(
    staging: Path, target: Path, *, facts: Mapping[str, Any], required: Collection[str] = ()
) -> Sealed:
    """Make a finished folder durable and give it its name in one step.

    A folder that already has that name is replaced.

    Args:
        staging: the folder written aside, on the same file system as `target`.
        target: its name once it is whole.
        facts: written into the manifest beside the files.
        required: names or patterns (`model*.safetensors`) that must each match a file.

    Raises:
        CheckpointError: a required file is missing.
        OSError: the disk refused.
    """
    started = time.monotonic()
    files: dict[str, dict[str, Any]] = {}
    for path in _files_below(staging):
        _publish_mode(path)
        _sync(path)
        files[str(path.relative_to(staging))] = {
            "bytes": path.stat().st_size,
            "sha256": file_sha256(path),
        }
    if absent := _absent(required, files):
        raise _broken(staging, f"{absent} was not written")
    manifest: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        **facts,
        "required": sorted(required),
        "files": files,
    }
    manifest["sha256"] = _digest(manifest)
    _write_durably(staging / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    staging.chmod(0o777 & ~_umask())
    for folder in [*_folders_below(staging), staging]:
        _sync(folder)
    _remove_aside(target)
    staging.rename(target)
    _sync(target.parent)
    return Sealed(
        path=target,
        sha256=manifest["sha256"],
        bytes=sum(entry["bytes"] for entry in files.values()),
        seconds=time.monotonic() - started,
    )


def verify(folder: Path) -> dict[str, Any]:
    """Check every byte of a sealed folder and return its manifest.

    Raises:
        CheckpointError: something is missing, cut short or changed; `what` says which file.
    """
    manifest = read_manifest(folder)
    files = manifest["files"]
    if absent := _absent(manifest["required"], files):
        raise _broken(folder, f"{absent} is not listed")
    for name, expected in files.items():
        try:
            size = (folder / name).stat().st_size
            if size != expected["bytes"]:
                raise _broken(folder, f"{name} has {size} bytes, not {expected['bytes']}")
            if file_sha256(folder / name) != expected["sha256"]:
                raise _broken(folder, f"{name} has changed")
        except OSError as error:
            raise _broken(folder, f"{name} cannot be read ({error.strerror})") from error
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a sealed folder, proved by its own hash; the files are not read.

    Raises:
        CheckpointError: it is missing or has changed.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        claimed = manifest.pop("sha256")
        if _digest(manifest) != claimed:
            raise ValueError("it does not match its own hash")
        return {**manifest, "sha256": claimed}
    except OSError as error:
        raise _broken(folder, f"{MANIFEST} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _broken(folder, f"{MANIFEST} has changed") from error


def newest_valid(checkpoints: Path) -> tuple[Path | None, list[Skipped]]:
    """Return the newest sealed folder that proves whole, and the newer ones that did not."""
    skipped: list[Skipped] = []
    for folder in sealed_steps(checkpoints):
        try:
            manifest = verify(folder)
            if manifest.get("step") != step_of(folder):
                raise _broken(folder, f"it is of step {manifest.get('step')}")
        except CheckpointError as error:
            skipped.append(Skipped(folder.name, error.what))
        else:
            return folder, skipped
    return None, skipped


def quarantine(checkpoints: Path, skipped: Collection[Skipped]) -> None:
    """Take damaged checkpoints out of the way, so that their steps can be written again."""
    for one in skipped:
        (checkpoints / one.checkpoint).rename(_unused(checkpoints, f".bad-{one.checkpoint}"))


def prune(checkpoints: Path, keep: int) -> None:
    """Delete all sealed folders but the newest `keep`."""
    for folder in sealed_steps(checkpoints)[keep:]:
        _remove_aside(folder)


def clean(run: RunDir) -> None:
    """Remove what a killed attempt left half written or half deleted."""
    shutil.rmtree(run.staging, ignore_errors=True)
    for parent in (run.path, run.checkpoints):
        for trash in parent.glob(".trash-*"):
            shutil.rmtree(trash, ignore_errors=True)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _absent(required: Collection[str], files: Collection[str]) -> str | None:
    """Return the first pattern that no file matches."""
    return next((one for one in required if not fnmatch.filter(files, one)), None)


def _broken(folder: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        id="checkpoint-damaged",
        what=reason,
        where=str(folder),
        why="training would go on from other numbers than the ones saved",
        fix="nothing to do: the newest whole checkpoint before it is taken",
    )


def _remove_aside(folder: Path) -> None:
    """Delete a folder so that no moment shows it half deleted under its name."""
    if folder.exists():
        trash = _unused(folder.parent, f".trash-{folder.name}")
        folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


def _unused(parent: Path, name: str) -> Path:
    number = 1
    while (path := parent / f"{name}-{number}").exists():
        number += 1
    return path


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _folders_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_dir()]


def _publish_mode(path: Path) -> None:
    # safetensors creates files with mode 0600: another user of the run would meet "no such file"
    path.chmod(0o666 & ~_umask())


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
