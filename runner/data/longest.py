"""The samples that need the most memory, as a small prepared split: what a rehearsal tries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from runner.data.archive import Pieces, read_archive, write_archive
from runner.data.known_hashes import file_sha256
from runner.data.packing import fullest_rows

if TYPE_CHECKING:
    from runner.plan import PreparedSplit

Arrays = dict[str, npt.NDArray[Any]]


def write_longest(
    split: PreparedSplit, target: Path, num_rows: int, *, packed_to: int | None = None
) -> PreparedSplit:
    """Write the longest samples of a prepared split as a split of their own.

    Args:
        target: the file to write.
        num_rows: samples wanted; packed rows where the split will be packed.
        packed_to: length of packed rows in tokens; None where nothing is packed.
    """
    arrays = read_archive(split.path)
    lengths = sample_lengths(arrays)
    if packed_to is None:
        chosen = np.argsort(-lengths, kind="stable")[:num_rows]
    else:
        rows = fullest_rows(lengths, packed_to, num_rows)
        chosen = np.array([sample for row in rows for sample in row])
    taken = {
        name: _taken(arrays, name, chosen) for name in arrays if not name.endswith("offsets")
    } | {name: _offsets(arrays[name], chosen) for name in arrays if name.endswith("offsets")}
    write_archive(
        target,
        {name: Pieces(array.dtype, array.shape, [array]) for name, array in taken.items()},
    )
    return replace(
        split,
        path=str(target),
        sha256=file_sha256(target),
        num_samples=len(chosen),
        num_tokens=sum(len(array) for name, array in taken.items() if name.endswith("input_ids")),
        num_supervised_tokens=int(np.count_nonzero(taken.get("supervised", np.zeros(0)))),
    )


def sample_lengths(arrays: Arrays) -> npt.NDArray[np.int64]:
    """Return the tokens of each sample; of a pair, of its longer answer with the question."""
    if "offsets" in arrays:
        return np.diff(arrays["offsets"])
    prompt, chosen, rejected = (
        np.diff(arrays[f"{name}_offsets"]) for name in ("prompt", "chosen", "rejected")
    )
    return np.asarray(prompt + np.maximum(chosen, rejected))


def _taken(arrays: Arrays, name: str, chosen: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Return what of an array belongs to the chosen samples."""
    if name == "rows":
        return np.asarray(arrays[name][chosen])
    prefix = name.removesuffix("ids") if name not in ("input_ids", "supervised") else ""
    offsets = arrays[f"{prefix}offsets"]
    return np.concatenate([arrays[name][offsets[one] : offsets[one + 1]] for one in chosen])


def _offsets(offsets: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    return np.concatenate([[0], np.cumsum(np.diff(offsets)[chosen])]).astype(np.int64)
