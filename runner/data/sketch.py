"""Sketches of texts, by which equal and nearly equal ones are found among millions.

Per text nine 64-bit numbers: one of all its words in order, blind to case, white space and
punctuation; and eight of MinHash over its word triples (A. Broder, 1997: two texts share a minimum
with a probability equal to the share of triples they have in common), banded as in Leskovec,
Rajaraman, Ullman, Mining of Massive Datasets, 3.4: texts that share a band are called near. With 8
bands of 5 minima a pair is found with a probability of 1 - (1 - s^5)^8, s the share of triples in
common: 0.9 → 99.9 %, 0.8 → 96 %, 0.7 → 77 %, 0.5 → 22 %, 0.3 → 2 %.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from runner.data.texts import TextBatch

BANDS, MINIMA = 8, 5
MIN_WORDS = 8  # a shorter text has too few triples to call another one near
MAX_CHARACTERS = 1 << 16  # of a text that are read, and its length counts

Keys = npt.NDArray[np.uint64]  # (num_texts, 1 + BANDS); a band of 0 is none

_RANDOM = np.random.Generator(np.random.PCG64(20_240_229))
_ODD = np.uint64(1)


def _draw(count: int) -> Keys:
    return _RANDOM.integers(0, 1 << 64, size=count, dtype=np.uint64) | _ODD


# 0: between words; 1: of a word; 2: begins a word (lead bytes of U+3000 and above: no spaces there)
_CLASS = np.zeros(256, dtype=np.uint8)
_CLASS[[*b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", *range(0x80, 256)]] = 1
_CLASS[0xE3:0xEE] = 2
_CLASS[0xF0:] = 2

_BYTE = np.where(_CLASS > 0, _draw(256), np.uint64(0))
_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd: has an inverse modulo 2^64
_UNSTEP = np.uint64(pow(int(_STEP), -1, 1 << 64))
_TRIPLE = _draw(3)
_FACTORS, _OFFSETS = _draw(BANDS * MINIMA), _draw(BANDS * MINIMA)
_FOLD = _draw(MINIMA)


def sketch(batch: TextBatch) -> Keys:
    """Return the keys of each text of a batch, shape (num_texts, 1 + BANDS)."""
    keys = np.zeros((len(batch.texts), 1 + BANDS), dtype=np.uint64)
    if not len(batch.texts):
        return keys
    raw, breaks = _folded(batch)
    starts, words = _words(raw)
    first = np.searchsorted(starts, np.concatenate([[0], breaks + 1]))
    count = np.diff(np.append(first, len(starts)))
    keys[:, 0] = _whole(words, first, count, batch.texts)
    eligible = np.flatnonzero(count >= MIN_WORDS)
    if len(eligible):
        keys[eligible, 1:] = _bands(words, first[eligible], count[eligible])
    return keys


def _folded(batch: TextBatch) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.intp]]:
    """Return the bytes of all texts without case and compatibility forms, and where they part."""
    if batch.joined.isascii() and max(map(len, batch.texts)) <= MAX_CHARACTERS:
        raw = np.frombuffer(batch.joined.lower().encode(), dtype=np.uint8)
        return raw, batch.breaks
    joined = "\0".join(text[:MAX_CHARACTERS] for text in batch.texts)
    if not joined.isascii():
        joined = unicodedata.normalize("NFKC", joined).casefold()
    raw = np.frombuffer(joined.lower().encode(), dtype=np.uint8)
    return raw, np.flatnonzero(raw == 0)


def _words(raw: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.intp], Keys]:
    """Return where words begin and a hash of each."""
    kind = _CLASS[raw]
    begins = kind == 1
    begins[1:] &= kind[:-1] == 0
    begins |= kind == 2
    starts = np.flatnonzero(begins)
    if not len(starts):
        return starts, np.zeros(0, dtype=np.uint64)
    # a polynomial over the bytes; the power of the place in the batch is divided out again
    terms = _BYTE[raw]
    terms *= _powers(_STEP, len(raw))
    sums = np.add.reduceat(terms, starts)
    sums *= _powers(_UNSTEP, len(raw))[starts]
    return starts, _mixed(sums)


def _whole(
    words: Keys, first: npt.NDArray[np.intp], count: npt.NDArray[np.intp], texts: Sequence[str]
) -> Keys:
    """Return one key for the words of each text in order."""
    sums = np.zeros(len(texts), dtype=np.uint64)
    filled = np.flatnonzero(count)
    if len(filled):
        terms = words * _powers(_STEP, len(words))
        sums[filled] = np.add.reduceat(terms, first[filled])
        sums[filled] *= _powers(_UNSTEP, len(words))[first[filled]]
    # what has no words is known by its characters, what is longer than what is read by its length
    for index in np.flatnonzero(count == 0).tolist():
        digest = hashlib.blake2b(texts[index].encode(), digest_size=8).digest()
        sums[index] = int.from_bytes(digest, "little")
    for index, text in enumerate(texts):
        if len(text) > MAX_CHARACTERS:
            sums[index] += np.uint64(len(text))
    return _mixed(sums)


def _bands(words: Keys, first: npt.NDArray[np.intp], count: npt.NDArray[np.intp]) -> Keys:
    """Return the band keys of texts whose words begin at `first`, `count` words each."""
    num_triples = count - 2
    cuts = np.cumsum(num_triples) - num_triples
    at = np.arange(int(num_triples.sum())) + np.repeat(first - cuts, num_triples)
    triples = _mixed(
        words[at] * _TRIPLE[0] + words[at + 1] * _TRIPLE[1] + words[at + 2] * _TRIPLE[2]
    )
    bands = np.zeros((len(first), BANDS), dtype=np.uint64)
    for number, (factor, offset) in enumerate(zip(_FACTORS, _OFFSETS, strict=True)):
        minima = np.minimum.reduceat((triples ^ offset) * factor, cuts)
        bands[:, number // MINIMA] += _mixed(minima) * _FOLD[number % MINIMA]
    return np.maximum(bands, _ODD)


def _mixed(values: Keys) -> Keys:
    """Spread every bit over all others (the finaliser of splitmix64, S. Vigna)."""
    values = values ^ (values >> np.uint64(30))
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


_POWERS: dict[int, Keys] = {}


def _powers(base: np.uint64, count: int) -> Keys:
    """Return base^0 … base^(count - 1) modulo 2^64; kept, since every batch needs them."""
    known = _POWERS.get(int(base))
    if known is None or len(known) < count:
        factors = np.full(max(count, 1 << 16), base, dtype=np.uint64)
        factors[0] = 1
        known = _POWERS[int(base)] = np.cumprod(factors)
    return known[:count]
