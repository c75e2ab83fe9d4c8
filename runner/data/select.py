"""Which samples of a source are taken, by weight, and which are held out, by val_size.

Both follow from the seed and the tokens of a sample, not from its place: a file in another order
gives the same choice, and equal samples always land on the same side of the split.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from runner.data.encode import Encoded


def digest(sample: Encoded) -> bytes:
    """Return a digest of a sample's tokens and of what carries loss."""
    state = hashlib.blake2b(digest_size=16)
    for part in sample.parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part.tobytes())
    state.update(sample.supervised.tobytes())
    return state.digest()


def weighted(digests: Sequence[bytes], weight: float, seed: int) -> list[int]:
    """Return the indices that a weight takes: 2.5 is all, all again, and half of them.

    At least one sample is taken, and the fraction is exact to a sample.
    """
    whole, fraction = int(weight), weight - int(weight)
    count = math.floor(fraction * len(digests) + 0.5)
    if not whole and digests:
        count = max(1, count)
    part = sorted(_ranked(digests, seed, b"weight")[:count])
    return [*range(len(digests))] * whole + part


def held_out(digests: Sequence[bytes], size: float, seed: int) -> set[int]:
    """Return the indices to hold out: a share of the samples, or a number of them.

    Equal samples go together, so a few more than asked may be held out.
    """
    wanted = size if size >= 1 else max(1, math.floor(size * len(digests) + 0.5))
    chosen: set[bytes] = set()
    count = 0
    by_digest: dict[bytes, int] = {}
    for one in digests:
        by_digest[one] = by_digest.get(one, 0) + 1
    for index in _ranked(digests, seed, b"val_size"):
        if count >= wanted:
            break
        if digests[index] not in chosen:
            chosen.add(digests[index])
            count += by_digest[digests[index]]
    return {index for index, one in enumerate(digests) if one in chosen}


def _ranked(digests: Sequence[bytes], seed: int, purpose: bytes) -> list[int]:
    """Return all indices in an order that the seed and the samples decide."""
    salt = seed.to_bytes(8, "little") + purpose
    keys = [hashlib.blake2b(one, key=salt, digest_size=8).digest() for one in digests]
    return sorted(range(len(digests)), key=lambda index: (keys[index], index))
