"""SHA-256 of large files, remembered while it is certain that they have not changed.

A hash is believed again only where all of this holds: the file is large (small ones are hashed at
every start), on a local file system, its device, inode, size, modification and change time are
those of then, and it had been left alone for a minute when it was hashed. The change time cannot be
set by a program, so that every later write shows; the minute covers writes through a memory map,
which show only when the kernel writes them out (within 35 seconds, Linux's default).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

LARGE_BYTES = 1 << 24
QUIET_SECONDS = 60.0
CHUNK_BYTES = 1 << 20
# Here the kernel itself keeps the times; network, FUSE and WSL's drvfs have those of others.
LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "overlay", "tmpfs"}


def file_sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def known_sha256(path: Path | str, memory: Path, *, is_ours: bool = False) -> str:
    """Return the SHA-256 of a file's bytes, from memory where it is certain to be the same.

    Args:
        memory: folder of what is remembered.
        is_ours: the file was written, synced and closed by us, and nobody else writes to it: it
            need not have been left alone before.
    """
    found = os.stat(path)
    if found.st_size < LARGE_BYTES or not is_on_local_disk(path):
        return file_sha256(path)
    note = memory / f"{hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:32]}.json"
    state = _state(found)
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["state"] == state and len(known["sha256"]) == 64:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never hashed, or torn: hashed now
    since_change = time.time() - max(found.st_ctime, found.st_mtime)
    sha256 = file_sha256(path)
    is_quiet = since_change > QUIET_SECONDS or (is_ours and since_change >= 0)
    if is_quiet and _state(os.stat(path)) == state:
        _remember(note, {"state": state, "sha256": sha256})
    return sha256


def _state(found: os.stat_result) -> list[int]:
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _remember(note: Path, known: dict[str, object]) -> None:
    note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = note.with_suffix(f".{os.getpid()}")
    aside.write_text(json.dumps(known) + "\n", encoding="utf-8")
    aside.replace(note)


def is_on_local_disk(path: Path | str, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Say whether a file is on a file system whose times the kernel of this machine keeps."""
    real = os.path.realpath(path)
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    best, kind = "", ""
    for line in lines:
        _, point, name = line.split(" ")[:3]
        point = point.encode("latin-1", "surrogateescape").decode("unicode_escape")
        is_above = real == point or real.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= len(best):  # the last of equals is the one that is seen
            best, kind = point, name
    return kind in LOCAL
