"""The tables of explain are complete and agree with each other."""

from __future__ import annotations

import io

from env_check.explain.causes import BY_ID, CAUSES, LAYERS
from env_check.explain.diagnose import ALL_PATTERNS
from env_check.explain.folding import FOLLOWS
from env_check.explain.meanings import MEANINGS
from env_check.explain.reading import blocks
from env_check.explain.scan import scan
from env_check.explain.signatures import SIGNATURES
from tests.env_check.explain.reports import our_reports, shared_reports


def test_every_signature_names_a_known_cause_and_a_source() -> None:
    """A row without cause is a clue; every other cause is of the closed list."""
    for row in SIGNATURES:
        assert not row.cause_id or row.cause_id in BY_ID, row.id
        assert row.source, row.id
        assert 0 <= row.strength < 1, row.id
    assert len({row.id for row in SIGNATURES}) == len(SIGNATURES)


def test_every_cause_says_why_and_how_to_verify() -> None:
    """A diagnosis without a way to check the fix is half a diagnosis."""
    for cause in CAUSES:
        assert cause.layer in LAYERS
        assert cause.definition.endswith(".")
        assert cause.verify


def test_every_reference_between_tables_resolves() -> None:
    """Meanings are given for signatures that exist, folding for causes that exist."""
    assert set(MEANINGS) <= {row.id for row in SIGNATURES}
    assert set(FOLLOWS) <= set(BY_ID)
    assert {id for follows in FOLLOWS.values() for id in follows} <= set(BY_ID)


def test_word_index_hides_no_match() -> None:
    """A signature that matches a text anywhere is found through its words too."""
    hidden = set()
    for report in (*our_reports(), *shared_reports()):
        read = list(blocks(io.BytesIO(report.text.encode())))
        found = scan(read, ALL_PATTERNS)
        text = "\n".join(block.lowered for block in read)
        for pattern in ALL_PATTERNS:
            matches = (
                match for each in pattern.alternatives for match in each.regex.finditer(text)
            )
            stands = any(pattern.stands(text, *match.span()) for match in matches)
            if pattern.id not in found and stands:
                hidden.add((report.name, pattern.id))
    assert not hidden
