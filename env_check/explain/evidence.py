"""One reason to believe in one cause: what signatures and rules hand to the ranking."""

from __future__ import annotations

from dataclasses import dataclass

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
