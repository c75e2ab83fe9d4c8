"""Prepared data in the cache: written whole or not at all, found again by what it was made from.

An entry is a folder named by its key: train.npz, eval.npz and entry.json with their hashes. It
holds training data, so that nobody but its owner may read it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.plan import PreparedSplit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ENTRY = "entry.json"
Arrays = Mapping[str, "npt.NDArray[np.generic]"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A cache entry that has proved whole."""

    train: PreparedSplit
    eval: PreparedSplit | None
    report: dict[str, Any]


def find_entry(root: Path, key: str) -> Entry | None:
    """Return the entry of a key, or None if there is none or it does not match its hashes."""
    folder = root / key
    try:
        raw = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
        splits = [
            PreparedSplit(**{**raw[name], "path": str(folder / f"{name}.npz")})
            if raw[name]
            else None
            for name in ("train", "eval")
        ]
        is_whole = all(file_sha256(split.path) == split.sha256 for split in splits if split)
        train, held = splits
        if not is_whole or train is None:
            return None
        return Entry(train=train, eval=held, report=raw["report"])
    except (OSError, ValueError, TypeError, KeyError):
        return None  # torn, or written by other code: built anew


def write_entry(
    root: Path,
    key: str,
    *,
    arrays: Mapping[str, Arrays],
    facts: Mapping[str, Mapping[str, Any]],
    report: dict[str, Any],
) -> Entry:
    """Write an entry aside and rename it into place; a broken one is replaced.

    Args:
        arrays: split name → arrays of its archive.
        facts: split name → fields of PreparedSplit that the archive does not say itself.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=root))  # mode 0700
    try:
        entry: dict[str, Any] = {"train": None, "eval": None, "report": report}
        for name, split in arrays.items():
            path = aside / f"{name}.npz"
            _write_archive(path, split)
            prepared = PreparedSplit(path="", sha256=file_sha256(path), **facts[name])
            entry[name] = asdict(prepared)
        _write_text(aside / ENTRY, json.dumps(entry, indent=1) + "\n")
        _put(aside, root, key)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    written = find_entry(root, key)
    assert written is not None, f"the cache entry {key} is not what was written"
    return written


def file_sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _write_archive(path: Path, arrays: Arrays) -> None:
    import numpy as np

    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its stub takes one kind of array
        file.flush()
        os.fsync(file.fileno())


def _write_text(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _put(aside: Path, root: Path, key: str) -> None:
    """Rename a folder into place; one that is there stays if it is whole, else it is replaced."""
    target = root / key
    try:
        aside.rename(target)
    except OSError:
        if find_entry(root, key) is not None:
            return  # another start with the same key was quicker
        broken = Path(tempfile.mkdtemp(prefix=".broken-", dir=root))
        target.rename(broken)
        aside.rename(target)
        shutil.rmtree(broken, ignore_errors=True)
