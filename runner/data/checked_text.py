"""Which texts can be trained on."""

from __future__ import annotations

from typing import Any

from runner.data.faults import RowFault, kind_of

# What people call invisible: a text of these alone is empty.
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e"


def is_fine(text: str) -> bool:
    """Say at once of most texts that `check_text` would pass them."""
    return text.isascii() and "\0" not in text and bool(text) and not text.isspace()


def check_text(value: Any, field: str) -> str:
    """Return a text that can be trained on.

    Raises:
        RowFault: it is no string, holds nothing but white space, or cannot be tokenised.
    """
    if not isinstance(value, str):
        hint = "join its text parts to one string" if isinstance(value, list) else ""
        if isinstance(value, list) and any(map(_is_medium, value)):
            hint = "leave it out, or write what it shows: an image or sound is no text"
        raise RowFault("data-wrong-type", f"{field} is a {kind_of(value)}, a string expected", hint)
    if not value.strip() or (not value.isascii() and not value.strip(INVISIBLE + " \t\r\n")):
        raise RowFault("data-empty-content", field)
    if "\0" in value:
        raise RowFault("data-nul", field)
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise RowFault("data-lone-surrogate", field) from None  # the cause holds the text
    return value


def _is_medium(part: Any) -> bool:
    kind = str(part.get("type")) if isinstance(part, dict) else ""
    return any(word in kind for word in ("image", "audio", "video", "file"))
