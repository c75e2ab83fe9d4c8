"""Prepared data in the cache: written whole or not at all, found again by what it was made from.

An entry is a folder named by its key: train.npz, eval.npz and entry.json with their hashes. It
holds training data, so that nobody but its owner may read it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.data.known_hashes import file_sha256, known_sha256
from runner.plan import PreparedSplit

ENTRY = "entry.json"
HASHES = ".hashes"


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
        is_whole = all(
            known_sha256(split.path, root / HASHES, is_ours=True) == split.sha256
            for split in splits
            if split
        )
        train, held = splits
        if not is_whole or train is None:
            return None
        return Entry(train=train, eval=held, report=raw["report"])
    except (OSError, ValueError, TypeError, KeyError):
        return None  # torn, or written by other code: built anew


@contextlib.contextmanager
def writing_aside(root: Path) -> Iterator[Path]:
    """Give a folder in which an entry is made; what was not put into place is removed."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=root))  # mode 0700
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def put_entry(
    root: Path,
    key: str,
    aside: Path,
    *,
    facts: Mapping[str, Mapping[str, Any]],
    report: dict[str, Any],
) -> Entry:
    """Complete a folder of archives and rename it into place; a broken entry is replaced.

    Args:
        aside: of `writing_aside`; holds the archive of each split.
        facts: split name → fields of PreparedSplit that the archive does not say itself.
    """
    entry: dict[str, Any] = {"train": None, "eval": None, "report": report}
    for name, known in facts.items():
        sha256 = file_sha256(aside / f"{name}.npz")
        entry[name] = asdict(PreparedSplit(path="", sha256=sha256, **known))
    _write_text(aside / ENTRY, json.dumps(entry, indent=1) + "\n")
    _put(aside, root, key)
    written = find_entry(root, key)
    assert written is not None, f"the cache entry {key} is not what was written"
    return written


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
