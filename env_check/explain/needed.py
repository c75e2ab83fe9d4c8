"""Which words a text must hold for an expression to match: known without trying the expression.

A space in a needed word says that the word ends there: `\\bout of memories?\\b` needs " out " and
" memorie". Runs of fewer than three letters are not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Words = frozenset[str]  # any one of them is enough

_TOKENS = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]])*\]|\(\?(?:[:=!]|<[=!])|[()|]|\{[\d,]*\}|[?*+^$.]|[a-z]+|[^a-z]",
    re.DOTALL,
)
_NO_LETTER = {"\\b", "\\s", "\\d", "\\W", "^", "$"}
_LIMITS = re.compile(r"\{(?:\d*,)?(\d+)\}")
_REPEATED_GROUP = re.compile(r"\)[*+{]")
SLACK = 120  # characters that an unlimited repetition, such as \w* or \s+, may stand for


def needed_words(expression: str) -> tuple[Words, ...]:
    """Return sets of words; a text that lacks all the words of one of them cannot match.

    Args:
        expression: for lower-case text, without `|` outside of groups.
    """
    return tuple(_needed(_TOKENS.findall(expression), before=False, after=False))


def reach(expression: str) -> int:
    """Return how many characters a match may have before or behind one of its words."""
    unlimited = expression.count("*") + expression.count("+")
    limited = sum(int(each) for each in _LIMITS.findall(expression))
    times = 4 if _REPEATED_GROUP.search(expression) else 1
    return times * (limited + SLACK * unlimited + len(expression))


def _needed(tokens: list[str], *, before: bool, after: bool) -> Iterator[Words]:
    """Walk one alternative; before and after tell that no letter can stand beside it."""
    items = list(_items(tokens))
    for place, (first, *_) in enumerate(items):
        quantifier = items[place + 1][0] if place + 1 < len(items) else ""
        is_optional = quantifier in ("?", "*") or quantifier.startswith("{")
        left = _ends_in_no_letter(items, place - 1) if place else before
        right = _begins_with_no_letter(items, place + 1) if quantifier else after
        if first in ("(", "(?:") and not is_optional:
            choices = _alternatives(items[place][1:-1])
            sets = [_best(_needed(each, before=left, after=right)) for each in choices]
            if all(sets):
                yield frozenset().union(*sets)
        elif first.isalpha():
            word = first[:-1] if is_optional else first
            if len(word) >= 3:
                end = " " if right and quantifier != "+" and not is_optional else ""
                yield frozenset({(" " if left else "") + word + end})


def _best(sets: Iterator[Words]) -> Words:
    """The set whose words are the longest: they are the rarest."""
    return max(sets, key=lambda words: min(len(each) for each in words), default=frozenset())


def _items(tokens: list[str]) -> Iterator[list[str]]:
    """Yield the tokens, those of a group together."""
    depth, group = 0, list[str]()
    for token in tokens:
        group.append(token)
        depth += (token.startswith("(")) - (token == ")")
        if depth == 0:
            yield group
            group = []


def _alternatives(tokens: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for item in _items(tokens):
        if item == ["|"]:
            parts.append([])
        else:
            parts[-1].extend(item)
    return parts


def _ends_in_no_letter(items: list[list[str]], place: int) -> bool:
    if items[place][0] == "+":
        place -= 1
    return place >= 0 and _is_no_letter(items[place][0])


def _begins_with_no_letter(items: list[list[str]], place: int) -> bool:
    follows = items[place + 1][0] if place + 1 < len(items) else ""
    is_optional = follows in ("?", "*") or follows.startswith("{")
    return _is_no_letter(items[place][0]) and not is_optional


def _is_no_letter(token: str) -> bool:
    if token in _NO_LETTER:
        return True
    if token.startswith("\\"):
        return not token[1].isalpha()
    if token.startswith("[") and len(token) > 1:
        return not token.startswith("[^") and not any(char.isalpha() for char in token)
    return len(token) == 1 and not token.isalpha() and token not in ".?*+|)"


class WordIndex:
    """Where the words of a text stand, in lower case; a part of a word is found in all it is of."""

    def __init__(self, text: str) -> None:
        self._places: dict[str, list[int]] = {}
        for found in re.finditer(r"[a-z]{3,}", text):
            self._places.setdefault(found.group(), []).append(found.start())
        self._vocabulary = f" {' '.join(self._places)} "
        self._known: dict[Words, list[int]] = {}

    def __contains__(self, word: str) -> bool:
        return word in self._places

    def places(self, words: Words) -> list[int]:
        """Return where any of the words begins, in order."""
        if words not in self._known:
            whole = {each for word in words for each in self._whole(word)}
            self._known[words] = sorted(place for each in whole for place in self._places[each])
        return self._known[words]

    def _whole(self, word: str) -> Iterator[str]:
        """Yield the words of the text that a needed word can be a part of."""
        if word[0] == word[-1] == " ":
            if word.strip() in self._places:
                yield word.strip()
            return
        at = self._vocabulary.find(word)
        while at >= 0:
            begin = self._vocabulary.rfind(" ", 0, at + 1) + 1
            end = self._vocabulary.find(" ", at + 1)
            yield self._vocabulary[begin:end]
            at = self._vocabulary.find(word, end)
