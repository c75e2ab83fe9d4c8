"""Prepared samples as a person reads them: the text of the tokens, and which of it carries loss.

For the terminal alone: what is returned here is text of samples.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from runner.data.prepare import load_prepared
from runner.data.tokenizer import Tokenizer
from runner.plan import PreparedSplit

GREEN, PLAIN = "\x1b[32m", "\x1b[0m"


class Piece(NamedTuple):
    """A run of tokens that all carry loss, or all do not."""

    text: str
    is_supervised: bool


def sample_pieces(
    split: PreparedSplit, tokenizer: Tokenizer, count: int = 3
) -> Iterator[tuple[str, list[Piece]]]:
    """Yield (title, pieces) of some samples, spread evenly over a prepared split.

    A pair of a DPO job yields twice: with the chosen and with the rejected answer.
    """
    arrays = load_prepared(split.path)
    step = max(1, split.num_samples // max(1, count))
    for index in list(range(0, split.num_samples, step))[:count]:
        title = f"sample {index + 1} of {split.num_samples:,}"
        if "input_ids" in arrays:
            cut = _cut(arrays, "offsets", index)
            yield title, _pieces(arrays["input_ids"][cut], arrays["supervised"][cut], tokenizer)
            continue
        prompt = arrays["prompt_ids"][_cut(arrays, "prompt_offsets", index)]
        for side in ("chosen", "rejected"):
            answer = arrays[f"{side}_ids"][_cut(arrays, f"{side}_offsets", index)]
            ids = np.concatenate([prompt, answer])
            yield f"{title}, {side}", _pieces(ids, np.arange(len(ids)) >= len(prompt), tokenizer)


def render_pieces(pieces: Sequence[Piece], *, colour: bool) -> str:
    """Return pieces as text: what carries loss is green, or between ⟦ and ⟧ without colour."""
    text = ""
    for piece in pieces:
        shown = _printable(piece.text)
        if not piece.is_supervised:
            text += shown
        elif colour:
            # line by line: a pager resets colours at the end of each line
            text += "\n".join(f"{GREEN}{line}{PLAIN}" for line in shown.split("\n"))
        else:
            text += f"⟦{shown}⟧"
    return text


def _cut(arrays: dict[str, npt.NDArray[np.generic]], offsets: str, index: int) -> slice:
    bounds = arrays[offsets].astype(np.int64)
    return slice(int(bounds[index]), int(bounds[index + 1]))


def _pieces(
    ids: npt.NDArray[np.generic], supervised: npt.NDArray[np.generic], tokenizer: Tokenizer
) -> list[Piece]:
    flags = supervised.astype(np.bool_)
    borders = [0, *(np.flatnonzero(flags[1:] != flags[:-1]) + 1).tolist(), len(ids)]
    return [
        Piece(tokenizer.decode(ids[start:stop].tolist()), bool(flags[start]))
        for start, stop in itertools.pairwise(borders)
    ]


def _printable(text: str) -> str:
    """Return a text without the control characters that would drive the terminal."""
    return "".join(
        char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text
    )
