"""Which samples of a source are taken, by weight, and which are held out, by val_size.

Both follow from the seed and the tokens of a sample, not from its place: a file in another order
gives the same choice, and equal samples always land on the same side of the split.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

from runner.data.encode import Encoded

Digests = npt.NDArray[np.uint8]  # (num_samples, 16)
Indices = npt.NDArray[np.intp]


def digest(sample: Encoded) -> bytes:
    """Return a digest of a sample's tokens and of what carries loss."""
    state = hashlib.blake2b(digest_size=16)
    for part in sample.parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part.tobytes())
    state.update(sample.supervised.tobytes())
    return state.digest()


def weighted(digests: Digests, weight: float, seed: int) -> Indices:
    """Return the indices that a weight takes: 2.5 is all, all again, and half of them.

    At least one sample is taken, and the fraction is exact to a sample.

    Args:
        digests: of the samples; shape (num_samples, 16).
    """
    whole, fraction = int(weight), weight - int(weight)
    count = math.floor(fraction * len(digests) + 0.5)
    if not whole and len(digests):
        count = max(1, count)
    part = np.sort(_ranked(digests, seed, b"weight")[:count]) if count else np.zeros(0, np.intp)
    return np.concatenate([np.tile(np.arange(len(digests)), whole), part])


def held_out(digests: Digests, size: float, seed: int) -> npt.NDArray[np.bool_]:
    """Return which samples to hold out: a share of them, or a number.

    Equal samples go together, so a few more than asked may be held out.
    """
    wanted = size if size >= 1 else max(1, math.floor(size * len(digests) + 0.5))
    _, group, sizes = np.unique(identities(digests), return_inverse=True, return_counts=True)
    is_out = np.zeros(len(sizes), dtype=np.bool_)
    count = 0
    for index in _ranked(digests, seed, b"val_size"):
        if count >= wanted:
            break
        if not is_out[group[index]]:
            is_out[group[index]] = True
            count += int(sizes[group[index]])
    held: npt.NDArray[np.bool_] = is_out[group]
    return held


def identities(digests: Digests) -> npt.NDArray[np.uint64]:
    """Return half of each digest as a number: ten million differ with a chance of 1 - 3e-6."""
    halves: npt.NDArray[np.uint64] = np.ascontiguousarray(digests).view(np.uint64)[:, 0]
    return halves


def _ranked(digests: Digests, seed: int, purpose: bytes) -> Indices:
    """Return all indices in an order that the seed and the samples decide."""
    salt, raw = seed.to_bytes(8, "little") + purpose, digests.tobytes()
    keys = b"".join(
        hashlib.blake2b(raw[at : at + 16], key=salt, digest_size=8).digest()
        for at in range(0, len(raw), 16)
    )
    return np.argsort(np.frombuffer(keys, dtype=">u8"), kind="stable")
