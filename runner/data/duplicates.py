"""Equal and nearly equal samples, inside a split and between two, from digests and sketches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runner.data.sketch import BANDS
from runner.data.spool import Spool

PAIRS_SHOWN = 3  # of each kind
KINDS = ("exact", "same_words", "near", "question")  # of repetition, closest first

Indices = npt.NDArray[np.intp]
Keys = npt.NDArray[np.uint64]
Found = npt.NDArray[np.int64]  # for each sample the one it repeats, or -1


@dataclass(frozen=True)
class Repeats:
    """How many samples repeat another one, each counted once, by how closely.

    `exact` are the same tokens and loss, `same_words` differ in case, white space or punctuation
    alone, `near` share most word triples (see runner.data.sketch), `question` ask what a sample of
    the other split asks, and are answered otherwise.
    """

    exact: int
    same_words: int
    near: int
    question: int
    pairs: dict[str, list[tuple[int, int]]]  # kind → the first (sample, the one it repeats)


def inside(spool: Spool, samples: Indices) -> Repeats:
    """Find samples that repeat an earlier one of the same split.

    Args:
        samples: indices of the split's samples in the spool, ascending, each once.
    """
    return _gather(samples, (_earlier(keys[samples], samples) for keys in _columns(spool)))


def between(spool: Spool, samples: Indices, others: Indices) -> Repeats:
    """Find samples that repeat one of another split."""
    questions = spool.column("answers", np.uint64).reshape(-1, 3)[:, 0]
    columns = itertools.chain(_columns(spool), [questions])
    return _gather(samples, (_in_others(keys[samples], keys[others], others) for keys in columns))


def _columns(spool: Spool) -> Iterator[Keys]:
    """Yield the columns of keys, closest first; one is in memory at a time."""
    yield spool.column("identity", np.uint64)
    for number in range(1 + BANDS):
        yield spool.column(f"key{number}", np.uint64)


def _earlier(keys: Keys, samples: Indices) -> Found:
    order = np.argsort(keys, kind="stable")  # the first of equal keys is the earliest sample
    ordered = keys[order]
    is_first = np.ones(len(keys), dtype=np.bool_)
    is_first[1:] = ordered[1:] != ordered[:-1]
    first = order[np.maximum.accumulate(np.where(is_first, np.arange(len(keys)), 0))]
    found = np.full(len(keys), -1, dtype=np.int64)
    repeats = ~is_first & (ordered != 0)
    found[order[repeats]] = samples[first[repeats]]
    return found


def _in_others(keys: Keys, other_keys: Keys, others: Indices) -> Found:
    order = np.argsort(other_keys, kind="stable")
    ordered = other_keys[order]
    at = np.minimum(np.searchsorted(ordered, keys), max(len(ordered) - 1, 0))
    is_there = (ordered[at] == keys) & (keys != 0) if len(ordered) else np.zeros(len(keys), bool)
    return np.where(is_there, others[order[at]] if len(order) else -1, -1)


def _gather(samples: Indices, columns: Iterator[Found]) -> Repeats:
    """Count each sample under the closest kind of repetition that was found."""
    taken = np.zeros(len(samples), dtype=np.bool_)
    counts = dict.fromkeys(KINDS, 0)
    pairs: dict[str, list[tuple[int, int]]] = {kind: [] for kind in counts}
    for number, found in enumerate(columns):
        kind = KINDS[min(number, 2)] if number <= BANDS + 1 else "question"
        new = np.flatnonzero((found >= 0) & ~taken)
        taken[new] = True
        counts[kind] += len(new)
        shown = new[: PAIRS_SHOWN - len(pairs[kind])].tolist()
        pairs[kind] += [(int(samples[i]), int(found[i])) for i in shown]
    return Repeats(**counts, pairs=pairs)
