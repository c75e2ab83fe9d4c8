"""Where a run trains when the user does not say."""

from __future__ import annotations

import pytest

from runner.backends.choose import choose_backend
from runner.errors import BackendError

CHOOSE = "runner.backends.choose"


@pytest.mark.parametrize(
    ("reason", "name", "said"),
    [
        (None, "docker", "backend: docker (an engine answers and has the image or can build it)"),
        ("no engine", "host", "backend: host (no container: no engine)"),
    ],
)
def test_auto_is_a_container_where_one_can_be_had_and_says_why(
    monkeypatch: pytest.MonkeyPatch, reason: str | None, name: str, said: str
) -> None:
    """The reason stands beside the choice."""
    monkeypatch.setattr(f"{CHOOSE}.why_no_image", lambda variant: reason)
    lines: list[str] = []
    assert choose_backend("auto", say=lines.append).name == name
    assert lines == [said]


def test_auto_without_any_place_names_both_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thin environment without an engine trains nowhere, and says what to do."""
    monkeypatch.setattr(f"{CHOOSE}.why_no_image", lambda variant: "no engine")
    monkeypatch.setattr(f"{CHOOSE}.has_training_stack", lambda: False)
    with pytest.raises(BackendError, match="no container can be had: no engine") as caught:
        choose_backend("auto", say=print)
    assert "TRAINBOX_LOCK=cpu make setup" in caught.value.fix


def test_a_named_backend_is_taken_without_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--backend host` does not ask an engine."""
    monkeypatch.setattr(f"{CHOOSE}.why_no_image", lambda variant: pytest.fail("was asked"))
    assert choose_backend("host", say=print).name == "host"
