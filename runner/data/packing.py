"""How many rows packing makes, known before training: best fit decreasing, as TRL packs."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

TRL_BATCH = 1000  # TRL 1.16 packs every 1,000 samples on their own (`datasets.Dataset.map`)


def count_packed_rows(lengths: Sequence[int] | npt.NDArray[np.int64], max_length: int) -> int:
    """Return the number of rows after packing samples of these lengths (tokens)."""
    return sum(
        len(_best_fit_decreasing(np.asarray(lengths[start : start + TRL_BATCH]), max_length))
        for start in range(0, len(lengths), TRL_BATCH)
    )


def fullest_rows(
    lengths: Sequence[int] | npt.NDArray[np.int64], max_length: int, num_rows: int
) -> list[list[int]]:
    """Return the fullest packed rows, each as the indices of its samples; of one batch of TRL's.

    Args:
        lengths: tokens of all samples, of which evenly spread ones are packed.
    """
    step = max(1, len(lengths) // TRL_BATCH)
    spread = np.arange(0, len(lengths), step)[:TRL_BATCH]
    tokens = np.asarray(lengths)[spread]
    rows = _best_fit_decreasing(tokens, max_length)
    rows.sort(key=lambda row: int(tokens[row].sum()), reverse=True)
    return [spread[row].tolist() for row in rows[:num_rows]]


def _best_fit_decreasing(lengths: npt.NDArray[np.int64], max_length: int) -> list[list[int]]:
    """Return the rows, each as the indices of its samples."""
    spaces: list[tuple[int, int]] = []  # what is left in each row, ascending, and its number
    rows: list[list[int]] = []
    for index in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[index])
        fitting = bisect_left(spaces, (length, 0))
        if fitting < len(spaces):
            space, number = spaces.pop(fitting)
        else:
            space, number = max_length, len(rows)
            rows.append([])
        rows[number].append(index)
        insort(spaces, (space - min(length, max_length), number))
    return rows
