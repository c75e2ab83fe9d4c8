"""docs/rules.md follows from the rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from env_check.rules.document import document
from env_check.rules.rule import Rule
from env_check.rules.table import RULES

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"


def test_the_page_of_rules_is_current() -> None:
    """docs/rules.md is what `python -m env_check.rules.document` prints."""
    assert PAGE.read_text(encoding="utf-8") == document()


@pytest.mark.parametrize("rule", RULES, ids=lambda each: each.id)
def test_a_rule_says_what_it_detects_and_where_it_comes_from(rule: Rule) -> None:
    """Every rule has a sentence and a source."""
    assert rule.detects.endswith(".")
    assert rule.source
