"""Facts → findings: every rule is asked, the lowest broken layer comes first."""

from __future__ import annotations

from typing import Optional

from env_check.facts import Facts
from env_check.findings import Finding, Status
from env_check.inference import inside
from env_check.rules.rule import Rule
from env_check.rules.table import INSIDE, RULES

SEVERITY = {Status.FAIL: 0, Status.UNKNOWN: 1, Status.WARN: 2, Status.OK: 3}


def judge(facts: Facts, rules: tuple[Rule, ...] = RULES) -> tuple[Finding, ...]:
    """Return what is wrong, faults from the lowest layer up, then unknowns, then warnings."""
    found = _asked(rules, facts)
    if facts.image is not None and facts.image.has_gpu:
        known = {finding.id for _, finding in found}
        found += [pair for pair in _asked(INSIDE, inside(facts.image)) if pair[1].id not in known]
    return fold(found)


def _asked(rules: tuple[Rule, ...], facts: Facts) -> list[tuple[Rule, Finding]]:
    return [(rule, finding) for rule in rules for finding in [rule(facts)] if finding]


def fold(found: list[tuple[Rule, Finding]]) -> tuple[Finding, ...]:
    """Hang each finding that another fault explains under the root of that fault.

    Rules that nothing explains come first, from the lowest layer up, then the symptoms. A symptom
    may be explained by any such fault, and by another symptom in a lower layer.
    """
    ordered = sorted(found, key=lambda pair: (bool(pair[0].explained_by), pair[1].layer))
    roots: dict[str, Finding] = {}
    root_of: dict[str, str] = {}  # every fault so far → the root it hangs under
    for rule, finding in ordered:
        cause = _cause(rule, finding, [(r, f) for r, f in ordered if f.id in root_of])
        if cause is None:
            roots[finding.id] = finding
        else:
            root = roots[root_of[cause.id]]
            roots[root.id] = root.with_follower(finding)
        if finding.status is Status.FAIL:
            root_of[finding.id] = root_of[cause.id] if cause else finding.id
    return tuple(sorted(roots.values(), key=lambda each: (SEVERITY[each.status], each.layer)))


def _cause(rule: Rule, finding: Finding, faults: list[tuple[Rule, Finding]]) -> Optional[Finding]:
    """Return the first fault that explains a finding, None where it stands for itself."""
    for other_rule, other in faults:
        is_symptom = bool(other_rule.explained_by)
        if other.layer in rule.explained_by and not (is_symptom and other.layer >= finding.layer):
            return other
    return None
