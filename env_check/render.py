"""Findings as text, JSON or Markdown. Returns strings; prints nothing."""

from __future__ import annotations

import json
import re
import textwrap
from typing import Any

from env_check import summary
from env_check.choose import Choice
from env_check.facts import Facts, to_json, unknowns
from env_check.findings import EXIT_FINE, Finding, exit_code

SCHEMA_VERSION = 1
WIDTH = 100


def text(facts: Facts, findings: tuple[Finding, ...], choice: Choice) -> str:
    """Return the report for a terminal."""
    parts = [_machine(facts), *(_finding(each) for each in findings)]
    if not_seen(facts):
        parts.append(_not_seen(facts, in_full=exit_code(findings) != EXIT_FINE))
    parts.append(summary.verdict(facts, findings, choice))
    return _printable("\n\n".join(parts)) + "\n"


def _printable(report: str) -> str:
    """Return a report without what could steer a terminal: facts may come from anybody."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", report)


def _machine(facts: Facts) -> str:
    return "\n".join(f"{name:<8} {value}" for name, value in summary.lines(facts))


def _finding(finding: Finding) -> str:
    lines = [f"{finding.status.value}[{finding.id}]: {finding.what}"]
    lines += _labelled("seen", finding.evidence)
    lines += _labelled("why", (finding.why,))
    lines += _labelled("fix", finding.fix)
    lines += _labelled("verify", (finding.verify,))
    follows = tuple(f"{each.what} ({each.id})" for each in finding.follows)
    lines += _labelled("so", follows)
    return "\n".join(lines)


def _labelled(label: str, values: tuple[str, ...]) -> list[str]:
    """Return values one a line beneath a label; a command is never broken in two."""
    head, indent = f"  {label + ':':<8}", " " * 10
    lines = []
    for value in values:
        wrapped = textwrap.wrap(value, WIDTH - 10) if label in ("why", "so") else [value]
        lines += [f"{indent}{line}" for line in wrapped]
    if lines:
        lines[0] = head + lines[0][10:]
    return lines


def _not_seen(facts: Facts, *, in_full: bool) -> str:
    """Return what could not be read; where nothing is wrong the names are enough."""
    unread = not_seen(facts)
    if in_full:
        return "not seen:\n" + "\n".join(f"  {name}: {why}" for name, why in unread)
    names = ", ".join(name for name, _ in unread)
    return "\n".join(textwrap.wrap(f"not seen: {names} (--json has the reasons)", WIDTH))


def not_seen(facts: Facts) -> tuple[tuple[str, str], ...]:
    """Return what could not be read, except what nobody asked for."""
    found = tuple(pair for pair in unknowns(facts) if pair[1] != "not asked")
    return (*found, *(("probe", each) for each in facts.unread))


def as_dict(facts: Facts, findings: tuple[Finding, ...], choice: Choice) -> dict[str, Any]:
    """Return the document of `--json`, described in docs/env-check.md."""
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": summary.verdict(facts, findings, choice),
        "exit_code": exit_code(findings),
        "findings": [finding_dict(each) for each in findings],
        "not_seen": [{"fact": name, "reason": why} for name, why in not_seen(facts)],
        "variant": to_json(choice),
        "facts": to_json(facts),
    }


def finding_dict(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "status": finding.status.value,
        "layer": finding.layer.label,
        "cause_id": finding.cause_id,
        "what": finding.what,
        "evidence": list(finding.evidence),
        "why": finding.why,
        "fix": list(finding.fix),
        "verify": finding.verify,
        "follows": [finding_dict(each) for each in finding.follows],
    }


def as_json(facts: Facts, findings: tuple[Finding, ...], choice: Choice) -> str:
    return json.dumps(as_dict(facts, findings, choice), indent=2, ensure_ascii=False) + "\n"


def markdown(facts: Facts, findings: tuple[Finding, ...], choice: Choice) -> str:
    """Return the report for an issue: a table of the machine, then the findings."""
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in summary.lines(facts))
    parts = [
        "## env-check",
        f"**{summary.verdict(facts, findings, choice)}**",
        f"| | |\n|---|---|\n{rows}",
    ]
    for each in findings:
        parts.append(f"### {each.status.value} {each.id}: {each.what}")
        parts.append("\n".join(f"- {_cell(line)}" for line in each.evidence))
        parts.append(each.why)
        parts.append("```\n" + "\n".join(each.fix) + "\n```")
        parts.append(f"Mended when: {each.verify}")
        if each.follows:
            follows = "\n".join(f"- {other.what} ({other.id})" for other in each.follows)
            parts.append(f"Because of it:\n\n{follows}")
    unread = not_seen(facts)
    if unread:
        parts.append("Not seen: " + "; ".join(f"{name} ({why})" for name, why in unread))
    return _printable("\n\n".join(parts)) + "\n"


def _cell(value: str) -> str:
    return value.replace("|", "\\|")
