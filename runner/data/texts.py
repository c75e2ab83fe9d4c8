"""Oddities of encoding in the texts of a batch: what was garbled, hidden or left over.

A batch is one byte string: a table lookup over its bytes finds the few texts worth a second look.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

NEAR_BYTES, NEAR_DIGITS = 24, 4  # fewer digits this close together are no number
MIXED_PLACES = 3  # fewer are units and formulas (µm, Δx)
SEPARATOR = "\0"  # stands in no text: `check_text` refuses it

_CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_INVISIBLE = re.compile(
    "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
_ESCAPED = re.compile(r"\\u00[89a-fA-F][0-9a-fA-F]|\\n\\n")  # letters such as é; paragraphs
_MARKUP = re.compile(r"&(?:amp|lt|gt|quot|nbsp|#\d{2,5});|</?(?:br|p|div|span|li|td)\b[^<>]{0,80}>")
_MIXED = re.compile("[A-Za-z][\u0370-\u03ff\u0400-\u04ff]|[\u0370-\u03ff\u0400-\u04ff][A-Za-z]")
_DECOMPOSED = re.compile("[A-Za-z][\u0300-\u036f]")
_PRIVATE = re.compile("[\ue000-\uf8ff]")
# What two to four bytes of UTF-8 look like in Windows-1252 or Latin-1: a lead byte and others.
_CONTINUED = "\u0080-\u00bf" + bytes(range(0x80, 0xA0)).decode("cp1252", "ignore")
_MOJIBAKE = re.compile(f"[\u00c2-\u00df][{_CONTINUED}]|[\u00e0-\u00f4][{_CONTINUED}]{{2,3}}")

# Scripts by code points (Unicode blocks); Latin is what remains.
_SCRIPTS = {
    "Greek": re.compile("[\u0370-\u03ff]"),
    "Cyrillic": re.compile("[\u0400-\u052f]"),
    "Hebrew": re.compile("[\u0590-\u05ff]"),
    "Arabic": re.compile("[\u0600-\u06ff\u0750-\u077f]"),
    "Devanagari": re.compile("[\u0900-\u097f]"),
    "Thai": re.compile("[\u0e00-\u0e7f]"),
    "Hangul": re.compile("[\uac00-\ud7af]"),
    "Han or kana": re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"),
}
_LETTER = re.compile(r"[^\W\d_]")

_LOOK = np.zeros(256, dtype=np.bool_)
_LOOK[1:0x20] = True
_LOOK[[0x09, 0x0A]] = False
_LOOK[[*b"&<\\"]] = True
_LOOK[0x7F:] = True  # DEL, and all that is not ASCII


class TextBatch:
    """The texts of a batch of rows as one string and its bytes, UTF-8.

    Args:
        texts: one a row, without NUL.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.joined = SEPARATOR.join(texts)
        self.raw: npt.NDArray[np.uint8] = np.frombuffer(self.joined.encode(), dtype=np.uint8)
        self.breaks: npt.NDArray[np.intp] = np.flatnonzero(self.raw == 0)

    def rows_of(self, places: npt.NDArray[np.intp]) -> list[int]:
        """Return which texts hold these bytes, each once."""
        return [int(row) for row in np.unique(np.searchsorted(self.breaks, places))]

    def with_numbers_or_at(self) -> list[int]:
        """Return which texts hold an @, or digits so close together that they may be a number."""
        is_digit = (self.raw >= 0x30) & (self.raw <= 0x39)
        total = np.concatenate([[0], np.cumsum(is_digit, dtype=np.int32)])
        window = min(NEAR_BYTES, len(self.raw))
        dense = np.flatnonzero(total[window:] - total[: len(total) - window] >= NEAR_DIGITS)
        # a window may begin in the text before the digits: its last byte counts too
        numbers = {*self.rows_of(dense), *self.rows_of(dense + max(window - 1, 0))}
        return sorted(numbers.union(self.rows_of(np.flatnonzero(self.raw == ord("@")))))


def oddities(batch: TextBatch) -> Iterator[tuple[int, str]]:
    """Yield (index of the text, kind of note), in order of the texts."""
    for index in batch.rows_of(np.flatnonzero(_LOOK[batch.raw])):
        for kind in kinds_of(batch.texts[index]):
            yield index, kind


def kinds_of(text: str) -> Iterator[str]:
    """Yield the kinds of oddity in one text."""
    if "\r" in text:
        yield "carriage_return"
    if _CONTROL.search(text):
        yield "control_characters"
    if "\\" in text and _ESCAPED.search(text):
        yield "escapes"
    if ("&" in text or "<" in text) and _MARKUP.search(text):
        yield "markup"
    if text.isascii():
        return
    if "\ufffd" in text:
        yield "replacement_character"
    if _INVISIBLE.search(text):
        yield "invisible"
    if len(_MIXED.findall(text)) >= MIXED_PLACES:
        yield "mixed_scripts"
    if _DECOMPOSED.search(text):
        yield "decomposed"
    if _PRIVATE.search(text):
        yield "private_use"
    if _is_garbled(text):
        yield "mojibake"


def _is_garbled(text: str) -> bool:
    """Say whether a text holds UTF-8 read as Windows-1252: CAFÉ… alone is no proof, Ã© is."""
    found = [match.group() for match in _MOJIBAKE.finditer(text) if _was_utf8(match.group())]
    return sum(3 if piece[0] in "ÂÃâ" else 1 for piece in found) >= 3


def _was_utf8(piece: str) -> bool:
    """Say whether characters are the bytes of other ones, read in a Windows or Latin encoding."""
    for encoding in ("cp1252", "latin-1"):
        for length in (len(piece), len(piece) - 1):
            try:
                meant = piece[:length].encode(encoding).decode("utf-8")
            except UnicodeError:
                continue
            if len(meant) == 1 and meant.isprintable():
                return True
    return False


def script_of(text: str) -> str:
    """Return the script most letters of a text are written in."""
    if text.isascii():
        return "Latin"
    letters = len(_LETTER.findall(text))
    for name, pattern in _SCRIPTS.items():
        if 2 * len(pattern.findall(text)) > letters:
            return name
    return "Latin"
