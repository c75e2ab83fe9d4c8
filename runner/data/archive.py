"""Archives of prepared arrays: NumPy's .npz, written piece by piece and mapped into memory.

Members are stored as they are and begin at multiples of 64 bytes, so that a reader maps them:
neither writing nor reading holds a split in memory.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64  # bytes; numpy.lib.format aligns the data to it within a member
PADDING_ID = 0xD935  # field of a zip header that readers skip, as zipalign writes it


@dataclass(frozen=True)
class Pieces:
    """An array that comes in pieces along its first axis.

    Args:
        dtype: of every piece.
        shape: of all pieces together.
        pieces: in order.
    """

    dtype: npt.DTypeLike
    shape: tuple[int, ...]
    pieces: Iterable[npt.NDArray[Any]]


def write_archive(path: Path, arrays: Mapping[str, Pieces]) -> None:
    """Write an archive for its owner alone, and have it on the disk."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, array in arrays.items():
                _write_member(archive, file, f"{name}.npy", array)
        file.flush()
        os.fsync(file.fileno())


def _write_member(archive: zipfile.ZipFile, file: IO[bytes], name: str, array: Pieces) -> None:
    member = zipfile.ZipInfo(name)  # dated 1980: equal arrays are equal bytes
    header_end = (
        file.tell() + 30 + len(name) + 20 + 4
    )  # 20: sizes above 4 GiB; 4: the padding's own
    padding = -header_end % ALIGNMENT
    member.extra = struct.pack("<HH", PADDING_ID, padding) + bytes(padding)
    written = 0
    with archive.open(member, "w", force_zip64=True) as stream:
        head = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(array.dtype)),
            "fortran_order": False,
            "shape": array.shape,
        }
        np.lib.format.write_array_header_1_0(stream, head)
        for piece in array.pieces:
            written += len(piece)
            stream.write(np.ascontiguousarray(piece, dtype=array.dtype).data)
    assert written == array.shape[0], f"{name}: {written} of {array.shape[0]}"


def read_archive(path: Path | str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an archive, read-only, mapped from the file where they are aligned."""
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        return {
            member.filename.removesuffix(".npy"): _read_member(Path(path), file, archive, member)
            for member in archive.infolist()
        }


def _read_member(
    path: Path, file: IO[bytes], archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> npt.NDArray[Any]:
    file.seek(member.header_offset + 26)
    name_length, extra_length = struct.unpack("<HH", file.read(4))
    file.seek(name_length + extra_length, os.SEEK_CUR)
    is_stored = member.compress_type == zipfile.ZIP_STORED
    if is_stored and np.lib.format.read_magic(file) == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        offset = file.tell()
        if np.prod(shape) and not dtype.hasobject and not fortran and not offset % dtype.itemsize:
            mapped = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)
            return mapped.view(np.ndarray)
    with archive.open(member) as stream:
        array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array
