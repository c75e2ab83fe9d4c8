"""Prepared arrays as the data sets TRL takes, with no copy of the tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
from datasets import Dataset  # type: ignore[import-untyped]

from runner.data.known_hashes import file_sha256
from runner.data.prepare import load_prepared
from runner.errors import TrainingError
from runner.plan import PreparedSplit

IGNORED = -100  # label of a token that carries no loss


def load_sft(split: PreparedSplit) -> Dataset:
    """Return a data set with `input_ids` and `labels`."""
    arrays = _load(split)
    labels = np.where(arrays["supervised"], arrays["input_ids"], IGNORED).astype(np.int32)
    offsets = arrays["offsets"]
    return _dataset(
        {"input_ids": _lists(arrays["input_ids"], offsets), "labels": _lists(labels, offsets)}
    )


def load_dpo(split: PreparedSplit) -> Dataset:
    """Return a data set with `prompt_ids`, `chosen_ids` and `rejected_ids`."""
    arrays = _load(split)
    return _dataset(
        {
            f"{name}_ids": _lists(arrays[f"{name}_ids"], arrays[f"{name}_offsets"])
            for name in ("prompt", "chosen", "rejected")
        }
    )


def _load(split: PreparedSplit) -> dict[str, npt.NDArray[Any]]:
    if file_sha256(split.path) != split.sha256:
        raise TrainingError(
            id="data-cache-changed",
            what="the prepared data is not what the plan was made with",
            where=split.path,
            why="the run would train on other samples than it records",
            fix="start the job again: the data is prepared anew",
        )
    return load_prepared(split.path)


def _lists(values: npt.NDArray[Any], offsets: npt.NDArray[np.int64]) -> pa.Array:
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))


def _dataset(columns: dict[str, pa.Array]) -> Dataset:
    return Dataset(pa.table(columns))
