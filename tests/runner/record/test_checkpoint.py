"""Checkpoints: sealed whole, proved on reading, the newest valid one wins."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.errors import CheckpointError
from runner.record import checkpoint
from runner.record.checkpoint import (
    MANIFEST,
    checkpoint_path,
    clean,
    newest_valid,
    prune,
    quarantine,
    seal,
    sealed_steps,
    verify,
)
from runner.record.layout import RunDir

Damage = Callable[[Path], object]

DAMAGES: dict[str, Damage] = {
    "a byte flipped": lambda folder: _flip(folder / "optimizer.pt", 100),
    "the last byte flipped": lambda folder: _flip(folder / "optimizer.pt", -1),
    "cut short": lambda folder: os.truncate(folder / "optimizer.pt", 500),
    "emptied": lambda folder: os.truncate(folder / "optimizer.pt", 0),
    "filled with zeros": lambda folder: (folder / "optimizer.pt").write_bytes(bytes(1000)),
    "longer": lambda folder: (folder / "optimizer.pt").write_bytes(bytes(1001)),
    "file deleted": lambda folder: (folder / "optimizer.pt").unlink(),
    "file in a folder deleted": lambda folder: (folder / "sub" / "part.bin").unlink(),
    "manifest deleted": lambda folder: (folder / MANIFEST).unlink(),
    "manifest emptied": lambda folder: (folder / MANIFEST).write_text(""),
    "manifest of another kind": lambda folder: (folder / MANIFEST).write_text("[]"),
    "manifest cut short": lambda folder: os.truncate(folder / MANIFEST, 80),
    "manifest not text": lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe\x00"),
    "manifest edited": lambda folder: _edit(folder, "identity", "other"),
    "manifest of another step": lambda folder: folder.rename(folder.with_name("step-30")),
    "everything deleted": lambda folder: [path.unlink() for path in folder.glob("*.*")],
}


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def _edit(folder: Path, key: str, value: str) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {key: value}))


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """A folder with step-2 and step-10, both whole."""
    folder = tmp_path / "checkpoints"
    for step in (2, 10):
        sealed(folder, step)
    return folder


def sealed(folder: Path, step: int, required: tuple[str, ...] = ("optimizer.pt",)) -> Path:
    staging = folder / ".staging" / f"checkpoint-{step}"
    (staging / "sub").mkdir(parents=True)
    (staging / "optimizer.pt").write_bytes(os.urandom(1000))
    (staging / "sub" / "part.bin").write_bytes(b"part")
    target = checkpoint_path(folder, step)
    return seal(staging, target, facts={"step": step, "identity": "one"}, required=required).path


def test_the_newest_step_is_taken_by_number(checkpoints: Path) -> None:
    """step-10 is newer than step-2, whatever the alphabet says."""
    assert newest_valid(checkpoints) == (checkpoints / "step-10", [])


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_newest_one_is_passed_over(checkpoints: Path, damage: Damage) -> None:
    """Any change to any file of the newest checkpoint makes the one before it win."""
    damage(checkpoints / "step-10")
    found, skipped = newest_valid(checkpoints)
    assert found == checkpoints / "step-2"
    assert len(skipped) == 1 and skipped[0].reason


def test_all_damaged_leaves_none(checkpoints: Path) -> None:
    """Without a whole checkpoint none is offered, and every one is named."""
    for folder in sealed_steps(checkpoints):
        _flip(folder / "optimizer.pt", 0)
    found, skipped = newest_valid(checkpoints)
    assert found is None
    assert [one.checkpoint for one in skipped] == ["step-10", "step-2"]


def test_a_missing_folder_has_no_checkpoints(tmp_path: Path) -> None:
    """A run that never saved has none."""
    assert newest_valid(tmp_path / "absent") == (None, [])


def test_damaged_ones_are_set_aside(checkpoints: Path) -> None:
    """A quarantined checkpoint keeps its files under another name, also the second time."""
    for _ in range(2):
        _flip(checkpoints / "step-10" / "optimizer.pt", 0)
        quarantine(checkpoints, newest_valid(checkpoints)[1])
        sealed(checkpoints, 10)
    assert sorted(path.name for path in checkpoints.glob(".bad-*")) == [
        ".bad-step-10-1",
        ".bad-step-10-2",
    ]
    assert newest_valid(checkpoints) == (checkpoints / "step-10", [])


def test_a_required_file_must_be_there(tmp_path: Path) -> None:
    """A checkpoint without its optimiser state is never sealed."""
    with pytest.raises(CheckpointError, match=r"scheduler\.pt was not written"):
        sealed(tmp_path, 5, required=("optimizer.pt", "scheduler.pt"))
    assert sealed_steps(tmp_path) == []


def test_a_required_pattern_may_match_any_file(tmp_path: Path) -> None:
    """Weights in several files satisfy one pattern."""
    assert verify(sealed(tmp_path, 5, required=("opt*.pt",)))["step"] == 5


def test_a_step_saved_again_replaces_the_old_one(checkpoints: Path) -> None:
    """After a fall back the same step is sealed anew, and nothing of the old one is left."""
    old = (checkpoints / "step-10" / "optimizer.pt").read_bytes()
    sealed(checkpoints, 10)
    assert (checkpoints / "step-10" / "optimizer.pt").read_bytes() != old
    assert not list(checkpoints.glob(".trash-*"))


def test_files_are_readable_by_others_as_the_umask_allows(tmp_path: Path) -> None:
    """safetensors writes files that only their owner can read; a sealed folder is ordinary."""
    staging = tmp_path / "staging"
    staging.mkdir(mode=0o700)
    (staging / "weights").touch(mode=0o600)
    previous = os.umask(0o027)
    try:
        target = seal(staging, tmp_path / "step-1", facts={}).path
    finally:
        os.umask(previous)
    assert oct(target.stat().st_mode & 0o777) == "0o750"
    assert {oct(path.stat().st_mode & 0o777) for path in target.iterdir()} == {"0o640"}


def test_every_file_is_on_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut cannot show a sealed name with unwritten files: fsync, rename, fsync."""
    order: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def noted_fsync(descriptor: int) -> None:
        order.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def noted_rename(path: Path, target: Path) -> Path:
        order.append(f"rename {path.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    sealed(tmp_path / "checkpoints", 5)
    assert order == [
        "optimizer.pt",
        "part.bin",
        MANIFEST,
        "sub",
        "checkpoint-5",
        "rename checkpoint-5",
        "checkpoints",
    ]


def test_pruning_keeps_the_newest(checkpoints: Path) -> None:
    """Only the oldest go."""
    sealed(checkpoints, 11)
    prune(checkpoints, keep=2)
    assert [path.name for path in sealed_steps(checkpoints)] == ["step-11", "step-10"]
    assert not list(checkpoints.glob(".trash-*"))


def test_cleaning_removes_leftovers_and_nothing_else(tmp_path: Path) -> None:
    """What a kill left half written or half deleted goes; sealed and damaged ones stay."""
    run = RunDir(tmp_path)
    sealed(run.checkpoints, 3)
    for name in (".staging/checkpoint-4", ".trash-step-1-1", ".bad-step-2-1"):
        (run.checkpoints / name).mkdir(parents=True)
    (run.path / ".trash-adapter-1").mkdir()
    clean(run)
    assert sorted(path.name for path in run.checkpoints.iterdir()) == [".bad-step-2-1", "step-3"]
    assert not (run.path / ".trash-adapter-1").exists()


def test_manifest_says_what_was_sealed(checkpoints: Path) -> None:
    """Sizes and hashes of all files, the facts given, and a hash over the manifest itself."""
    manifest = verify(checkpoints / "step-10")
    assert manifest["files"]["sub/part.bin"]["bytes"] == 4
    assert manifest["identity"] == "one"
    assert checkpoint.read_manifest(checkpoints / "step-10") == manifest
