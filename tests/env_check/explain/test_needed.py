"""The words an expression cannot match without are found, and none that it can."""

from __future__ import annotations

import pytest

from env_check.explain.needed import WordIndex, needed_words, reach


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (r"\bout\s+of\s+memory\b", [{" out "}, {" memory "}]),
        (r"memories?\b", [{"memorie"}]),
        (r"\binstall\w*", [{" install"}]),
        (r"\b(?:torch|pytorch)\b", [{" torch ", " pytorch "}]),
        (r"(?:no|some)\s+gpu", [{" gpu"}]),  # "no" is too short to count
        (r"(?:cuda\s+)?error\b", [{"error "}]),
        (r"error[: ]+(?!none)code", [{"error "}, {"code"}]),
        (r"libcuda\.so(?:\.\d+)*", [{"libcuda "}]),
        (r"[a-z]+\d{3,}", []),
    ],
)
def test_needed_words_are_those_that_every_match_holds(
    expression: str, words: list[set[str]]
) -> None:
    """Optional parts, classes and lookarounds need nothing; a group needs one of its choices."""
    assert [set(each) for each in needed_words(expression)] == words


def test_a_part_of_a_word_is_found_in_every_word_it_is_of() -> None:
    """A space says where the word ends; places come in the order of the text."""
    index = WordIndex("reinstall, install it; installed")
    assert index.places(frozenset({" install "})) == [11]
    assert index.places(frozenset({" install"})) == [11, 23]
    assert index.places(frozenset({"install"})) == [0, 11, 23]
    assert index.places(frozenset({" it ", "absent"})) == []


def test_reach_covers_the_longest_match() -> None:
    """What may stand between two words of a match lies within the reach of either."""
    assert reach(r"one[^\n]{0,80}?two[\s\S]{0,400}three") >= 480
    assert reach(r"(?:\d{1,20}\s+){3}") >= 3 * 20
