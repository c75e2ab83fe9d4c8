"""One reason to believe in one cause: what signatures and rules hand to the ranking."""

from __future__ import annotations

from dataclasses import dataclass

from env_check.explain.report import Report
from env_check.explain.scan import Match

Found = dict[str, list[Match]]  # id of a signature or a fact → where it stands


@dataclass(frozen=True)
class Evidence:
    """One reason to believe in one cause."""

    cause_id: str
    strength: float
    why: str
    matches: tuple[Match, ...]
    rule: str


def line_of(report: Report, *facts: str) -> tuple[Match, ...]:
    """Return the first line of each fact that the text states."""
    return tuple(report.matches[fact] for fact in facts if fact in report.matches)


def lines_of(found: Found, id: str) -> str:
    """Return the lines where one signature stands, in lower case."""
    return "\n".join(match.line_lowered for match in found.get(id, ()))
