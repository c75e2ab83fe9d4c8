"""A remembered hash is used only while it is certain that the file has not changed."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from runner.data import known_hashes
from runner.data.known_hashes import is_on_local_disk, known_sha256

SIZE = 100_000


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as large and as left alone long enough."""
    monkeypatch.setattr(known_hashes, "LARGE_BYTES", SIZE)
    monkeypatch.setattr(known_hashes, "QUIET_SECONDS", -1.0)
    path = tmp_path / "data.jsonl"
    path.write_bytes(bytes(SIZE))
    return path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read to be hashed."""
    read: list[str] = []
    real = known_hashes.file_sha256

    def counted(path: Path | str) -> str:
        read.append(str(path))
        return real(path)

    monkeypatch.setattr(known_hashes, "file_sha256", counted)
    return read


def test_unchanged_file_is_read_once(file: Path, tmp_path: Path, hashed: list[str]) -> None:
    """The second time the hash comes from memory, and is the right one."""
    found = [known_sha256(file, tmp_path / "memory") for _ in range(3)]
    assert found == [hashlib.sha256(bytes(SIZE)).hexdigest()] * 3 and len(hashed) == 1


@pytest.mark.parametrize("change", ["one byte", "one byte, old times", "replaced", "longer"])
def test_every_change_is_noticed(file: Path, tmp_path: Path, change: str) -> None:
    """Also one of the same size whose modification time is put back."""
    known_sha256(file, tmp_path / "memory")
    before = file.stat()
    time.sleep(0.02)  # beyond the tick of the file system's clock
    raw = b"x" + bytes(SIZE - 1 if change != "longer" else SIZE)
    if change == "replaced":
        other = file.with_name("other")
        other.write_bytes(raw)
        other.replace(file)
    else:
        with file.open("r+b") as opened:
            opened.write(raw)
    if change != "one byte":
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert known_sha256(file, tmp_path / "memory") == hashlib.sha256(raw).hexdigest()


def test_file_that_was_just_written_is_not_remembered(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashed: list[str]
) -> None:
    """A writer may still be at work: it is hashed again, until it was left alone for a minute."""
    monkeypatch.setattr(known_hashes, "QUIET_SECONDS", 60.0)
    for _ in range(2):
        known_sha256(file, tmp_path / "memory")
    assert len(hashed) == 2 and not (tmp_path / "memory").exists()


def test_file_of_ours_is_remembered_at_once(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashed: list[str]
) -> None:
    """Nobody else writes to the cache's archives."""
    monkeypatch.setattr(known_hashes, "QUIET_SECONDS", 60.0)
    for _ in range(2):
        known_sha256(file, tmp_path / "memory", is_ours=True)
    assert len(hashed) == 1


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"state": []}'])
def test_torn_memory_is_written_anew(file: Path, tmp_path: Path, torn: str) -> None:
    """What cannot be read counts as never hashed."""
    expected = known_sha256(file, tmp_path / "memory")
    [note] = (tmp_path / "memory").iterdir()
    note.write_text(torn)
    assert known_sha256(file, tmp_path / "memory") == expected


def test_small_file_is_hashed_every_time(file: Path, tmp_path: Path, hashed: list[str]) -> None:
    """Where hashing costs nothing, nothing is believed."""
    file.write_bytes(b"small")
    for _ in range(2):
        known_sha256(file, tmp_path / "memory")
    assert len(hashed) == 2


@pytest.mark.parametrize(
    ("kind", "local"),
    [("ext4", True), ("overlay", True), ("nfs4", False), ("9p", False), ("fuse.sshfs", False)],
)
def test_times_of_other_machines_are_not_believed(tmp_path: Path, kind: str, local: bool) -> None:
    """The file system of the deepest mount point above a file decides."""
    mounts = tmp_path / "mounts"
    here = str(tmp_path).replace(" ", "\\040")
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nserver {here} {kind} rw 0 0\nb {here}x nfs rw 0 0\n")
    assert is_on_local_disk(tmp_path / "data.jsonl", mounts) == local


def test_unknown_mounts_are_not_believed(tmp_path: Path) -> None:
    """Without the kernel's list every file is hashed."""
    assert not is_on_local_disk(tmp_path, tmp_path / "absent")
