"""Which tokens of an encoded text carry loss, given the characters that do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.data.template import Span


def token_mask(encoding: Any, spans: Sequence[Span], length: int) -> tuple[list[Span], int]:
    """Return the supervised tokens of an encoding as [first, end), and how many straddle a border.

    A token belongs to the mask if any of its characters does: where the tokenizer merges across a
    border (only possible where no special token stands there), the whole answer is learnt.

    Args:
        encoding: of the tokenizers library.
        spans: supervised characters.
        length: number of characters of the text.
    """
    tokens: list[Span] = []
    num_straddling = 0
    for start, end in spans:
        first = _token_from(encoding, start, end)
        if first is None:
            continue
        after = _token_from(encoding, end, length)
        stop = len(encoding) if after is None else after
        last = _token_before(encoding, end, start)
        stop = max(stop, last + 1) if last is not None else stop
        if after is None and last is not None:
            stop = _past_copies(encoding, last)
        num_straddling += encoding.token_to_chars(first)[0] < start
        num_straddling += encoding.token_to_chars(stop - 1)[1] > end
        tokens.append((first, stop))
    return tokens, num_straddling


def _token_from(encoding: Any, start: int, end: int) -> int | None:
    """Return the first token that covers a character of [start, end)."""
    # a character may belong to no token: a normalizer can leave it out
    for position in range(start, end):
        token: int | None = encoding.char_to_token(position)
        if token is not None:
            return token
    return None


def _token_before(encoding: Any, end: int, start: int) -> int | None:
    for position in range(end - 1, start - 1, -1):
        token: int | None = encoding.char_to_token(position)
        if token is not None:
            return token
    return None


def _past_copies(encoding: Any, token: int) -> int:
    """Return the end of the run of tokens that share one character (bytes of an emoji)."""
    chars = encoding.token_to_chars(token)
    stop = token + 1
    while stop < len(encoding) and encoding.token_to_chars(stop) == chars:
        stop += 1
    return stop
