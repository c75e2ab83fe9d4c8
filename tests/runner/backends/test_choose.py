"""Where a run trains when the user does not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.backends.choose import backend_of, choose_backend
from runner.backends.host import HostBackend
from runner.errors import BackendError
from runner.record.journal import Journal
from runner.record.layout import RunDir

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


@pytest.mark.parametrize(
    ("began", "asked", "name"),
    [("docker", "auto", "docker"), ("docker", "host", "host"), ("host", "auto", "host")],
)
def test_an_unfinished_run_goes_on_where_it_began(
    tmp_path: Path, began: str, asked: str, name: str
) -> None:
    """Another environment for reasons that scroll away would mix two; a named one is obeyed."""
    run = RunDir(tmp_path)
    with Journal(run.journal, 1) as journal:
        journal.write("start", backend=began)
    lines: list[str] = []
    chosen = backend_of(run, asked, HostBackend(), say=lines.append)
    assert chosen.name == name
    assert (len(lines) == 1) == (name != "host")


def test_a_run_that_never_started_goes_on_anywhere(tmp_path: Path) -> None:
    """A directory without an attempt has no place of its own."""
    assert backend_of(RunDir(tmp_path), "auto", HostBackend(), say=print).name == "host"
