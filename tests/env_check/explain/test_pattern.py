"""Patterns are rewritten for speed and match what they matched before."""

from __future__ import annotations

import re

import pytest

from env_check.explain.pattern import Pattern


@pytest.mark.parametrize(
    "expression",
    [r"\bfoo\b", r"^foo bar", r"(?:foo|ba[rz]) qux", r"(?:no )?foo", r"\b(?:foo|bar)s?\b|qux+"],
)
@pytest.mark.parametrize(
    "text", ["foo", "xfoo", "a\nfoo bar", "baz qux", "no foo", "bars", "quxx", "", "foo\nqux"]
)
def test_rewritten_patterns_match_the_same_texts(expression: str, text: str) -> None:
    """Anchors behind letters and split groups change the speed, not the meaning."""
    plain = re.compile(expression.replace(" ", r"\s+"), re.MULTILINE)
    found = any(each.regex.search(text) for each in Pattern("p", (), expression).alternatives)
    assert found == bool(plain.search(text))


def test_space_in_a_pattern_matches_a_wrapped_line() -> None:
    """A terminal that wraps a message does not hide it."""
    first, second = Pattern("p", ("two",), "one two|three").alternatives
    assert first.regex.search("one\n  two")
    assert second.regex.search("three")
