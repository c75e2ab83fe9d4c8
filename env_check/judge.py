"""Facts → findings: every rule is asked, the lowest broken layer comes first."""

from __future__ import annotations

from typing import Optional

from env_check.facts import Facts
from env_check.findings import Finding, Status
from env_check.rules.rule import Rule
from env_check.rules.table import RULES

SEVERITY = {Status.FAIL: 0, Status.UNKNOWN: 1, Status.WARN: 2, Status.OK: 3}


def judge(facts: Facts, rules: tuple[Rule, ...] = RULES) -> tuple[Finding, ...]:
    """Return what is wrong, faults from the lowest layer up, then unknowns, then warnings."""
    found = [(rule, finding) for rule in rules for finding in [rule(facts)] if finding]
    return fold(found)


def fold(found: list[tuple[Rule, Finding]]) -> tuple[Finding, ...]:
    """Hang each finding that a lower fault explains under the lowest such fault."""
    found = sorted(found, key=lambda pair: pair[1].layer)
    causes = [
        (rule, finding)
        for rule, finding in found
        if finding.status is Status.FAIL and not _cause(rule, finding, found)
    ]
    roots: dict[str, Finding] = {}
    loose: list[tuple[Rule, Finding]] = []
    for rule, finding in found:
        if _cause(rule, finding, causes):
            loose.append((rule, finding))
        else:
            roots[finding.id] = finding
    for rule, finding in loose:
        cause = _cause(rule, finding, causes)
        assert cause is not None
        roots[cause.id] = roots[cause.id].with_follower(finding)
    return tuple(sorted(roots.values(), key=lambda each: (SEVERITY[each.status], each.layer)))


def _cause(rule: Rule, finding: Finding, among: list[tuple[Rule, Finding]]) -> Optional[Finding]:
    """Return the lowest fault that explains a finding, None where it stands for itself."""
    for other_rule, other in among:
        if other.status is not Status.FAIL or other.id == finding.id:
            continue
        if other.layer not in rule.explained_by:
            continue
        # Two symptoms do not explain each other; the more particular rule explains the symptom.
        if other_rule.explained_by and other.layer >= finding.layer:
            continue
        return other
    return None
