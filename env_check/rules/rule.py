"""What a rule is: an id, a layer, a source, and one pure function from facts to a finding."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional, Union

from env_check.facts import Facts
from env_check.findings import Finding, Layer, Status

Lines = Union[str, tuple[str, ...]]


@dataclass(frozen=True)
class Verdict:
    """What a rule's function returns; the rule adds its id, layer and cause."""

    status: Status
    what: str
    evidence: Lines
    why: str
    fix: Lines
    verify: str
    cause_id: str = ""
    """Where one rule knows several causes, the one of this verdict."""


def fault(
    what: str, *, evidence: Lines, why: str, fix: Lines, verify: str, cause_id: str = ""
) -> Verdict:
    """Return a verdict that fails the check."""
    return Verdict(Status.FAIL, what, evidence, why, fix, verify, cause_id)


def warning(
    what: str, *, evidence: Lines, why: str, fix: Lines, verify: str, cause_id: str = ""
) -> Verdict:
    """Return a verdict that lets the check pass."""
    return Verdict(Status.WARN, what, evidence, why, fix, verify, cause_id)


def unseen(what: str, *, evidence: Lines, why: str, fix: Lines, verify: str) -> Verdict:
    """Return a verdict about something decisive that could not be read."""
    return Verdict(Status.UNKNOWN, what, evidence, why, fix, verify)


Check = Callable[[Facts], Optional[Verdict]]


@dataclass(frozen=True)
class Rule:
    """One rule; call it with facts."""

    id: str
    layer: Layer
    source: str
    """Where the rule comes from: a manual, a release note, an issue."""
    cause_id: str
    explained_by: tuple[Layer, ...]
    """A fault in one of these layers is the cause of this one."""
    detects: str
    check: Check

    def __call__(self, facts: Facts) -> Optional[Finding]:
        verdict = self.check(facts)
        if verdict is None:
            return None
        return Finding(
            id=self.id,
            status=verdict.status,
            layer=self.layer,
            what=verdict.what,
            evidence=_lines(verdict.evidence),
            why=verdict.why,
            fix=_lines(verdict.fix),
            verify=verdict.verify,
            cause_id=verdict.cause_id or self.cause_id,
        )


def rule(
    id: str,
    layer: Layer,
    *,
    source: str,
    cause_id: str = "",
    explained_by: tuple[Layer, ...] = (),
) -> Callable[[Check], Rule]:
    """Make a rule of a function; its docstring is what docs/rules.md says it detects."""

    def wrap(check: Check) -> Rule:
        detects = " ".join((inspect.getdoc(check) or "").split())
        return Rule(id, layer, source, cause_id, explained_by, detects, check)

    return wrap


def _lines(value: Lines) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
