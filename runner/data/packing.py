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
        _best_fit_decreasing(np.asarray(lengths[start : start + TRL_BATCH]).tolist(), max_length)
        for start in range(0, len(lengths), TRL_BATCH)
    )


def _best_fit_decreasing(lengths: Sequence[int], max_length: int) -> int:
    spaces: list[int] = []  # what is left in each open row, ascending
    num_rows = 0
    for length in sorted(lengths, reverse=True):
        fitting = bisect_left(spaces, length)
        if fitting < len(spaces):
            space = spaces.pop(fitting)
        else:
            space, num_rows = max_length, num_rows + 1
        insort(spaces, space - min(length, max_length))
    return num_rows
