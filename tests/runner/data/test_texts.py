"""Garbled and hidden characters are found, ordinary text of any language passes."""

# ruff: noqa: RUF001  # look-alike characters are what is tested
from __future__ import annotations

import pytest

from runner.data.texts import TextBatch, kinds_of, oddities, script_of

ODD = [
    ("cafÃ© au lait", "mojibake"),
    ("donâ€™t", "mojibake"),
    ("25Â°C", "mojibake"),
    ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "mojibake"),
    ("lost \ufffd here", "replacement_character"),
    ("zero\u200bwidth", "invisible"),
    ("a\ufeffmark", "invisible"),
    ("right\u202eleft", "invisible"),
    ("tag\U000e0041", "invisible"),
    ("bell\x07", "control_characters"),
    ("next\x85line", "control_characters"),
    ("one\r\ntwo", "carriage_return"),
    ("\ue000", "private_use"),
    ("one\\n\\ntwo", "escapes"),
    ("caf\\u00e9", "escapes"),
    ("a &amp; b", "markup"),
    ("one<br/>two", "markup"),
]

FINE = [
    "plain\ttext\nwith lines",
    "Größe, naïve café, CAFÉ… «À bientôt»",
    "São Paulo, NÃO, Â",
    "Привет, как дела?",
    "体温が高いです。",
    "👩‍⚕️ and ❤️",
    "می‌خواهم",
    "1 < 2 & 3 > 2, \\neq, C:\\new, a <b> tag?",
    "“quoted” – ‘dash’",
]


@pytest.mark.parametrize(("text", "kind"), ODD)
def test_oddity_is_named(text: str, kind: str) -> None:
    """Each kind of damage has a name."""
    assert list(kinds_of(text)) == [kind]


@pytest.mark.parametrize("text", FINE)
def test_ordinary_text_passes(text: str) -> None:
    """Letters of any language, emoji and their joiners are no damage."""
    assert list(kinds_of(text)) == []


def test_batch_finds_what_a_single_text_holds() -> None:
    """The quick look at the bytes of a batch loses nothing, and names the right text."""
    texts = [text for text, _ in ODD] + FINE
    expected = [(i, kind) for i, text in enumerate(texts) for kind in kinds_of(text)]
    assert list(oddities(TextBatch(texts))) == expected


def test_empty_batch_has_no_oddity() -> None:
    """No text, no oddity."""
    assert list(oddities(TextBatch([]))) == []


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Hello", "Latin"),
        ("Größe", "Latin"),
        ("Привет, доктор Smith", "Cyrillic"),
        ("体温が高い", "Han or kana"),
        ("안녕하세요", "Hangul"),
        ("12 % 😀", "Latin"),
    ],
)
def test_script_is_that_of_most_letters(text: str, script: str) -> None:
    """A word of another script does not change it."""
    assert script_of(text) == script
