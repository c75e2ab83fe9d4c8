"""Samples of a split on disk while they are made: columns appended to, read back in any order.

Tokens never stay in memory; of a sample a few numbers do, when they are asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

PIECE_BYTES = 1 << 22  # of tokens read at once


class Spool:
    """Append-only columns in a folder of their own.

    Args:
        folder: created; its owner removes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        self._files: dict[str, IO[bytes]] = {}

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()

    def append(self, name: str, values: npt.NDArray[Any]) -> None:
        """Append values to a column."""
        if name not in self._files:
            # closed in __exit__: a column is open as long as the spool
            self._files[name] = (self.folder / name).open("w+b")
        self._files[name].write(np.ascontiguousarray(values).data)

    def column(self, name: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return a whole column, in memory."""
        if name not in self._files:
            return np.zeros(0, dtype=dtype)
        self._files[name].flush()
        return np.fromfile(self.folder / name, dtype=dtype)

    def lengths(self) -> npt.NDArray[np.int32]:
        """Return the tokens of each part of each sample: (num_samples, 1), of pairs 3."""
        num_parts = 3 if "part2" in self._files else 1
        return self.column("lengths", np.int32).reshape(-1, num_parts)

    def rows(self) -> npt.NDArray[np.int32]:
        """Return where each sample comes from: (num_samples, 2), source and line from 1."""
        return self.column("rows", np.int32).reshape(-1, 2)

    def ragged(
        self,
        name: str,
        dtype: npt.DTypeLike,
        offsets: npt.NDArray[np.int64],
        order: npt.NDArray[np.intp],
    ) -> Iterator[npt.NDArray[Any]]:
        """Yield the values of samples end to end, in pieces; neighbours are read together.

        Args:
            offsets: where samples begin in the column; shape (num_samples + 1,).
            order: which samples, repetitions allowed.
        """
        if not len(order):
            return
        file, size = self._files[name], np.dtype(dtype).itemsize
        file.flush()
        runs = np.flatnonzero(np.diff(order) != 1) + 1
        for begin, end in zip([0, *runs.tolist()], [*runs.tolist(), len(order)], strict=True):
            start, stop = int(offsets[order[begin]]), int(offsets[order[end - 1] + 1])
            for at in range(start * size, stop * size, PIECE_BYTES):
                raw = os.pread(file.fileno(), min(PIECE_BYTES, stop * size - at), at)
                yield np.frombuffer(raw, dtype=dtype)
