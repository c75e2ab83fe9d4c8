"""Archives are NumPy's own, written piece by piece and read without copying."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runner.data.archive import Pieces, read_archive, write_archive
from runner.data.spool import Spool


def test_numpy_reads_what_is_written(tmp_path: Path) -> None:
    """Names, types, shapes and values are those of numpy.savez."""
    parts = [np.arange(5, dtype=np.int32), np.arange(7, dtype=np.int32)]
    pairs = np.array([[0, 1], [0, 2]], dtype=np.int32)
    arrays = {
        "ids": Pieces(np.int32, (12,), parts),
        "flags": Pieces(np.bool_, (0,), []),
        "rows": Pieces(np.int32, (2, 2), [pairs]),
    }
    write_archive(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz") as theirs:
        ours = read_archive(tmp_path / "a.npz")
        assert list(ours) == theirs.files == ["ids", "flags", "rows"]
        for name, array in ours.items():
            assert array.dtype == theirs[name].dtype and (array == theirs[name]).all()


def test_arrays_are_mapped_and_aligned(tmp_path: Path) -> None:
    """What is read is a view of the file, read-only."""
    write_archive(tmp_path / "a.npz", {"a": Pieces(np.int64, (3,), [np.arange(3)])})
    array = read_archive(tmp_path / "a.npz")["a"]
    assert array.flags.aligned and not array.flags.writeable and not array.flags.owndata


def test_archive_of_numpy_is_read_too(tmp_path: Path) -> None:
    """Members that are not aligned, or compressed, are copied."""
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", input_ids=np.arange(9, dtype=np.int32))
        assert (read_archive(tmp_path / "a.npz")["input_ids"] == np.arange(9)).all()


def test_equal_arrays_are_equal_bytes(tmp_path: Path) -> None:
    """No time of day and no cut into pieces gets into the file."""
    whole = np.arange(10, dtype=np.int32)
    for name, pieces in (("a", [whole]), ("b", [whole[:3], whole[3:]])):
        write_archive(tmp_path / name, {"x": Pieces(np.int32, (10,), pieces)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_too_few_elements_are_noticed(tmp_path: Path) -> None:
    """A header that promises more than comes is a broken promise of ours."""
    with pytest.raises(AssertionError):
        write_archive(tmp_path / "a", {"x": Pieces(np.int32, (10,), [])})


def test_spool_gives_samples_in_any_order(tmp_path: Path) -> None:
    """Neighbours, jumps and repetitions come out end to end."""
    sizes = [3, 0, 2, 4]
    offsets = np.cumsum([0, *sizes])
    with Spool(tmp_path / "spool") as spool:
        for at, size in zip(offsets, sizes, strict=False):
            spool.append("ids", np.arange(at, at + size, dtype=np.int32))
        for order in ([0, 1, 2, 3], [3, 0, 0, 2], [1], [2, 3, 0]):
            expected = [i for one in order for i in range(offsets[one], offsets[one + 1])]
            pieces = spool.ragged("ids", np.int32, offsets, np.array(order))
            assert [i for piece in pieces for i in piece.tolist()] == expected
        assert spool.column("none", np.int32).shape == (0,)
