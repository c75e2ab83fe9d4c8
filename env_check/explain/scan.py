"""Run many patterns over a text of any size: a word index says which could match in a block."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from env_check.explain.needed import WordIndex
from env_check.explain.pattern import Alternative, Pattern
from env_check.explain.reading import Block

MOST_EXAMINED = 1000  # matches of one pattern in one block: a line can repeat itself without end
MOST_MATCHES = 6  # per pattern: the first ones are the evidence, the rest is repetition
TAIL_CHARACTERS = (
    30_000  # of a block, where the latest match of a pattern that has enough is sought
)

_WORD = re.compile(r"[a-z]{3,}")


@dataclass(frozen=True)
class Match:
    """One place in the text where a pattern holds."""

    id: str
    line: int  # 1-based number of its first line
    text: str  # the line it stands in, as written (several where the match spans them)
    groups: tuple[str, ...]  # as written; "" for a group that took no part
    line_lowered: str = field(repr=False, default="")


def scan(blocks: Iterable[Block], patterns: Sequence[Pattern]) -> dict[str, list[Match]]:
    """Return the first matches of each pattern, in their order, in one pass over the blocks."""
    index: dict[str, list[Pattern]] = {}
    always = []
    for pattern in patterns:
        if not pattern.words:
            always.append(pattern)
        for word in pattern.words:
            index.setdefault(word, []).append(pattern)
    fragments = {word for word in index if not _WORD.fullmatch(word)}
    found: dict[str, list[Match]] = {}
    for block in blocks:
        words = WordIndex(block.lowered)
        candidates = {pattern.id: pattern for pattern in always}
        for word, named in index.items():
            if word in words or (word in fragments and word in block.lowered):
                candidates.update({pattern.id: pattern for pattern in named})
        for pattern in candidates.values():
            earlier = found.setdefault(pattern.id, [])
            if len(earlier) < MOST_MATCHES:
                _search(block, words, pattern, earlier)
            elif pattern.keeps_last:
                latest = earlier[-1:]
                _search(block, words, pattern, latest, len(block.lowered) - TAIL_CHARACTERS)
                earlier[-1] = latest[-1]
    order = {pattern.id: place for place, pattern in enumerate(patterns)}
    return {id: found[id] for id in sorted(found, key=order.__getitem__) if found[id]}


def _search(
    block: Block, words: WordIndex, pattern: Pattern, earlier: list[Match], begin_at: int = 0
) -> None:
    starts = block.line_starts
    for found in islice(_finditer(block, words, pattern, begin_at), MOST_EXAMINED):
        if found.end() <= block.num_repeated or found.end() == found.start():
            continue
        if not pattern.stands(block.lowered, found.start(), found.end()):
            continue
        row = bisect_right(starts, found.start()) - 1
        line = block.numbers[min(row, len(block.numbers) - 1)]
        begin = starts[row]
        end = block.text.find("\n", max(found.end() - 1, begin))
        text = block.text[begin : end if end >= 0 else len(block.text)]
        groups = tuple(
            block.text[found.start(number) : found.end(number)] if found.start(number) >= 0 else ""
            for number in range(1, found.re.groups + 1)
        )
        if earlier and earlier[-1].line == line and earlier[-1].groups == groups:
            continue
        earlier.append(Match(pattern.id, line, text, groups, text.lower()))
        if len(earlier) >= MOST_MATCHES:
            return


def _finditer(
    block: Block, words: WordIndex, pattern: Pattern, begin_at: int
) -> Iterator[re.Match[str]]:
    for each in pattern.alternatives:
        for begin, end in _windows(block.lowered, words, each):
            if end > begin_at:
                yield from each.regex.finditer(block.lowered, max(begin, begin_at), end)


def _windows(text: str, words: WordIndex, alternative: Alternative) -> Iterator[tuple[int, int]]:
    """Yield the lines, as begin and end, that hold all that the expression needs."""
    if not alternative.needed:
        yield 0, len(text)
        return
    places = sorted((words.places(each) for each in alternative.needed), key=len)
    rarest, others, reach = places[0], places[1:], alternative.reach
    begin = end = 0
    for place in rarest:
        low, high = place - reach, place + reach
        if not all(bisect_left(each, low) < bisect_right(each, high) for each in others):
            continue
        if low > end and end:
            yield begin, end
            end = 0
        begin = begin if end else text.rfind("\n", 0, max(low, 0)) + 1
        if high > end:
            at = text.find("\n", high)
            end = at if at >= 0 else len(text)
    if end:
        yield begin, end
