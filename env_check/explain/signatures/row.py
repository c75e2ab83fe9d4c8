"""One message that a program prints, and the cause it speaks for.

Patterns are matched against lower-case text; a plain space stands for any white space, so wrapped
lines match. `strength` is how surely the message alone means the cause: above 0.9 it names it, near
0.5 it is a symptom that several causes share and other evidence decides (`fact_rules`). Below 0.3
nothing is reported.
"""

from __future__ import annotations

from dataclasses import dataclass

from env_check.explain.pattern import Pattern


@dataclass(frozen=True)
class Signature:
    """One message: at least one of `words` stands in any text that `pattern` matches."""

    id: str
    cause_id: str  # "" for a clue that only the fact rules read
    strength: float
    words: str
    pattern: str
    source: str  # the program that prints it
    why: str = ""  # what this message says beyond the cause's definition
    keeps_last: bool = False  # later lines may take back what it says
    beside: str = ""  # what has to stand close to it in the same line

    def compiled(self) -> Pattern:
        words = tuple(self.words.split())
        return Pattern(self.id, words, self.pattern, self.keeps_last, self.beside)


def not_loaded(library: str) -> str:
    """Return the expression for the ways in which programs say that a shared library is missing."""
    said_after = (
        r"['\"]?(?::? cannot open shared object file|;? dlerror|:? (?:file )?not found|"
        r":? no such file|,? is not found|,? could not be (?:loaded|found|opened)| cannot found|"
        r" => not found|['\"]? (?:does(?: not|n't) exist|is missing|cannot be found))"
    )
    said_before = (
        r"(?:failed to|cannot|can ?not|can't|could not|couldn't|unable to) "
        r"(?:dlopen|load|open|find|locate)[^\n]{0,40}?"
    )
    return rf"{library}{said_after}|{said_before}{library}"


def same_line(one: str, other: str, gap: int = 80) -> str:
    """Return the expression for two things in one line, in either order."""
    return rf"{one}[^\n]{{0,{gap}}}?{other}|{other}[^\n]{{0,{gap}}}?{one}"
