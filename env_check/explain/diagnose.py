"""From the bytes of a report to ranked diagnoses: read, scan, gather evidence, weigh, fold."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import BinaryIO

from env_check.explain.advice import fixes_for
from env_check.explain.causes import BY_ID, LAYERS, Diagnosis
from env_check.explain.evidence import Evidence, Found
from env_check.explain.fact_rules import RULES
from env_check.explain.folding import follows_from
from env_check.explain.layering import layer_of
from env_check.explain.masking import quoted
from env_check.explain.meanings import MEANINGS
from env_check.explain.reading import blocks
from env_check.explain.report import PATTERNS, Report, read_report
from env_check.explain.scan import Match, scan
from env_check.explain.signatures import BY_ID as SIGNATURE
from env_check.explain.signatures import SIGNATURES, Signature
from env_check.explain.signatures.cuda_errors import with_numbers

LEAST_CONFIDENCE = 0.3
MOST_DIAGNOSES = 5
MOST_EVIDENCE = 6

ALL_PATTERNS = (*PATTERNS, *(row.compiled() for row in SIGNATURES))


def explain_file(stream: BinaryIO) -> tuple[Diagnosis, ...]:
    """Return what is broken behind a text, best first; empty where nothing speaks for a fault."""
    return read_and_explain(stream)[0]


def explain_text(text: str) -> tuple[Diagnosis, ...]:
    """Return what is broken behind a text that is already in memory."""
    return explain_file(io.BytesIO(text.encode("utf-8", "replace")))


def read_and_explain(stream: BinaryIO) -> tuple[tuple[Diagnosis, ...], Report]:
    """Return the diagnoses and the facts they rest on."""
    found = with_numbers(scan(blocks(stream), ALL_PATTERNS))
    report = read_report(found)
    return rank(gather(report, found), report), report


def gather(report: Report, found: Found) -> list[Evidence]:
    """Return all evidence: each signature under the cause it means here, each rule that holds."""
    evidence = [
        _from_signature(SIGNATURE[id], matches, report, found)
        for id, matches in found.items()
        if id in SIGNATURE and SIGNATURE[id].cause_id
    ]
    for rule in RULES:
        evidence.extend(rule(report, found))
    return evidence


def _from_signature(row: Signature, matches: list[Match], report: Report, found: Found) -> Evidence:
    cause_id, strength = row.cause_id, row.strength
    decide = MEANINGS.get(row.id)
    if decide:
        cause_id, strength = decide(report, found) or (cause_id, strength)
    return Evidence(cause_id, strength, row.why, tuple(matches), row.id)


def rank(evidence: Iterable[Evidence], report: Report) -> tuple[Diagnosis, ...]:
    """Weigh the evidence of each cause, put consequences behind their root, best first."""
    by_cause: dict[str, list[Evidence]] = {}
    for each in evidence:
        by_cause.setdefault(each.cause_id, []).append(each)
    confidence = {id: _confidence(items) for id, items in by_cause.items()}
    folded = {
        id: value * 0.45 if follows_from(id, confidence) else value
        for id, value in confidence.items()
    }
    kept = [id for id, value in folded.items() if value >= LEAST_CONFIDENCE]
    # Of equals the lowest layer leads, then what is said last: the exception after its warnings.
    kept.sort(
        key=lambda id: (-folded[id], LAYERS.index(BY_ID[id].layer), -_last_line(by_cause[id]))
    )
    return tuple(_diagnosis(id, folded[id], by_cause[id], report) for id in kept[:MOST_DIAGNOSES])


def _confidence(items: list[Evidence]) -> float:
    """The strongest reason counts; each further kind of reason adds a little."""
    best = max(each.strength for each in items)
    others = len({each.rule for each in items if each.strength >= 0.5}) - 1
    return min(0.99, best + 0.015 * max(others, 0))


def _last_line(items: list[Evidence]) -> int:
    return max((match.line for each in items for match in each.matches), default=0)


def _diagnosis(id: str, confidence: float, items: list[Evidence], report: Report) -> Diagnosis:
    cause = BY_ID[id]
    items = sorted(items, key=lambda each: -each.strength)
    reasons = list(dict.fromkeys(each.why for each in items if each.why))
    return Diagnosis(
        cause_id=id,
        layer=layer_of(cause, items, report),
        family=cause.family,
        confidence=round(confidence, 2),
        evidence=_quotes(match for each in items for match in each.matches),
        why=" ".join([cause.definition, *reasons[:2]]),
        fix=fixes_for(cause, report),
        verify=cause.verify,
    )


def _quotes(matches: Iterable[Match]) -> tuple[str, ...]:
    lines = {match.line: f"line {match.line}: {quoted(match.text)}" for match in matches}
    return tuple(lines.values())[:MOST_EVIDENCE]
