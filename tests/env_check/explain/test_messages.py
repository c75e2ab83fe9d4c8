"""Messages as programs print them and people report them: each names its cause alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from env_check.explain import explain_text

FILES = sorted((Path(__file__).parents[2] / "fixtures" / "messages").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bare_message_names_its_cause(path: Path) -> None:
    """One line, without the report around it, is enough; `none` holds what is no fault."""
    wrong = {}
    for text in path.read_text(encoding="utf-8").split("\n---\n"):
        named = [each.cause_id for each in explain_text(text)]
        if named[:1] != ([] if path.stem == "none" else [path.stem]):
            wrong[text] = named
    assert not wrong


def test_messages_are_many() -> None:
    """Every cause has messages, and so have the texts without a fault."""
    assert len(FILES) > 50
