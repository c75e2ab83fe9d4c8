"""One expression to look for, rewritten so that searching it is fast.

An expression that begins with plain letters is searched for at the speed of a substring. So each
alternative is compiled alone, and an anchor before its first letters is put behind them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from env_check.explain.needed import Words, needed_words, reach

NEAR = 110  # characters to each side in which `beside` is looked for

# An escape or a character class stays as it is; a space, with its quantifier, is widened.
_TOKENS = re.compile(r"\\.|\[(?:\\.|[^\]])*\]|[()|]")
_SPACES = re.compile(r"\\.|\[(?:\\.|[^\]])*\]| [?*+]?")
_ANCHORED = re.compile(r"(\\b|\^)([a-z0-9_]{2,})(?![?*+{])")
_GROUP = re.compile(r"(\\b|\^)?\(\?:")


@dataclass(frozen=True)
class Alternative:
    """One expression without `|` outside of groups; read and compiled when first needed."""

    expression: str

    @cached_property
    def needed(self) -> tuple[Words, ...]:
        return needed_words(self.expression)

    @cached_property
    def reach(self) -> int:
        return reach(self.expression)

    @cached_property
    def regex(self) -> re.Pattern[str]:
        return re.compile(_letters_first(self.expression), re.MULTILINE)


@dataclass(frozen=True)
class Pattern:
    """What to look for: an expression for lower-case text, and words one of which it needs.

    A plain space in the expression stands for any white space, so that wrapped lines match.
    """

    id: str
    words: tuple[str, ...]  # whole runs of three or more letters, or any fragment; () = always
    expression: str
    keeps_last: bool = False  # where it stands last counts too, not only where it stands first
    beside: str = ""  # an expression that must match close to it in the same line

    @cached_property
    def alternatives(self) -> tuple[Alternative, ...]:
        """Return the expressions any of which may match."""
        wide = _SPACES.sub(_widen, self.expression)
        return tuple(
            Alternative(each)
            for part in _alternatives(wide)
            for each in _without_leading_group(part)
        )

    def stands(self, text: str, start: int, end: int) -> bool:
        """Tell whether a match at start to end has beside it what it needs."""
        if not self.beside:
            return True
        begin = max(text.rfind("\n", 0, start) + 1, start - NEAR)
        line_end = text.find("\n", end)
        limit = min(line_end if line_end >= 0 else len(text), end + NEAR)
        return bool(self._beside.search(text[begin:limit]))

    @cached_property
    def _beside(self) -> re.Pattern[str]:
        return re.compile(_SPACES.sub(_widen, self.beside))


def _widen(found: re.Match[str]) -> str:
    if not found.group().startswith(" "):
        return found.group()
    return r"\s*" if found.group().endswith(("?", "*")) else r"\s+"


def _alternatives(text: str) -> list[str]:
    """Split at the `|` outside of groups and classes."""
    parts, depth, start = [], 0, 0
    for token in _TOKENS.finditer(text):
        depth += {"(": 1, ")": -1}.get(token.group(), 0)
        if token.group() == "|" and depth == 0:
            parts.append(text[start : token.start()])
            start = token.end()
    return [*parts, text[start:]]


def _without_leading_group(part: str) -> list[str]:
    """Write `(?:a|b)c` as `ac` and `bc`, `(?:a)?b` as `b`, unless the group is repeated."""
    opened = _GROUP.match(part)
    if not opened:
        return [part]
    depth = 0
    for token in _TOKENS.finditer(part, opened.end() - 3):
        depth += {"(": 1, ")": -1}.get(token.group(), 0)
        if depth == 0:
            break
    rest = part[token.end() :]
    if rest.startswith("?") and not opened.group(1):
        return _without_leading_group(rest[1:])
    if rest.startswith(("?", "*", "+", "{")):
        return [part]
    anchor = opened.group(1) or ""
    found: list[str] = []
    for each in _alternatives(part[opened.end() : token.start()]):
        found += _without_leading_group(f"{anchor}{each}{rest}")
    return found


def _letters_first(part: str) -> str:
    r"""Put a leading `\b` or `^` behind the letters it stands before."""
    found = _ANCHORED.match(part)
    if not found:
        return part
    anchor, letters = found.groups()
    before = r"\w" if anchor == r"\b" else r"[^\n]"
    return f"{letters}(?<!{before}{letters}){part[found.end() :]}"
