"""The number of packed rows, which decides the number of steps."""

from __future__ import annotations

import json
import random

import pytest

from runner.data.packing import count_packed_rows
from tests.forked_trainer import ForkedTrainer

AS_TRL_PACKS = """
import json
from datasets import Dataset, disable_progress_bars
from trl.data_utils import pack_dataset
disable_progress_bars()
for lengths, max_length, expected in json.loads(arguments[0]):
    rows = Dataset.from_dict({"input_ids": [[1] * length for length in lengths]})
    assert len(pack_dataset(rows, max_length, "bfd")) == expected, (max_length, expected)
"""


@pytest.mark.parametrize(
    ("lengths", "max_length", "rows"),
    [([5, 2, 3, 1], 5, 3), ([4, 4, 4], 4, 3), ([1] * 8, 4, 2), ([3, 3, 2, 2, 2], 6, 2)],
)
def test_samples_fill_rows_best_fit_first(lengths: list[int], max_length: int, rows: int) -> None:
    """A sample goes where the least room is left over, else into a new row."""
    assert count_packed_rows(lengths, max_length) == rows


def test_the_count_is_what_trl_makes(trainer: ForkedTrainer) -> None:
    """The plan's number of rows is the number TRL packs, beyond its batches of 1,000 too."""
    draw = random.Random(7)
    cases = []
    for num_samples, max_length in ((50, 64), (1000, 128), (2345, 100)):
        lengths = [draw.randint(1, max_length) for _ in range(num_samples)]
        cases.append((lengths, max_length, count_packed_rows(lengths, max_length)))
    trainer.run_python(AS_TRL_PACKS, json.dumps(cases))
