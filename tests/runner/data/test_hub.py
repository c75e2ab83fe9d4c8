"""Data sets of the hub, against a stand-in on the loopback; what cannot be had, in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.data.hub import bring, forget
from runner.data.hub_errors import hub_error
from runner.errors import DataError
from runner.spec import DataSource
from tests.runner.base_model.hub_stand_in import Hub, serve

SOURCE = DataSource(path="org/health")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one data set; nothing of it is downloaded in these tests."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serve(Hub(files={}, name="org/health", kind="datasets")) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def failure(source: DataSource, cache: Path, *, offline: bool = False) -> DataError:
    with pytest.raises(DataError) as caught:
        bring(source, cache=cache, offline=offline)
    return caught.value


@pytest.mark.parametrize(
    ("refuse", "error_id", "in_fix"),
    [
        ((403, "GatedRepo"), "data-hub-gated", "huggingface.co/datasets/org/health"),
        ((404, "RepoNotFound"), "data-hub-not-found", "hf auth login"),
        ((401, ""), "data-hub-not-found", "hf auth login"),
        ((503, ""), "data-hub-not-reached", "network"),
    ],
)
def test_a_refusal_says_what_to_do(
    hub: Hub, tmp_path: Path, refuse: tuple[int, str], error_id: str, in_fix: str
) -> None:
    """Each way the hub says no has its own error, with one step that helps."""
    hub.refuse = refuse
    error = failure(SOURCE, tmp_path)
    assert (error.id, in_fix in error.fix) == (error_id, True)


def test_a_token_that_has_expired_is_told_from_none(hub: Hub, tmp_path: Path) -> None:
    """What helps is a new token, not another name of the data set."""
    hub.refuse, hub.message = (401, ""), "Invalid credentials in Authorization header"
    assert failure(SOURCE, tmp_path).id == "data-hub-token-refused"


def test_an_unknown_revision_is_named(hub: Hub, tmp_path: Path) -> None:
    """A branch that the data set does not have is not another one silently."""
    error = failure(SOURCE.model_copy(update={"revision": "v9"}), tmp_path)
    assert error.id == "data-hub-not-found" and "`v9`" in error.what


def test_no_network_is_said_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that refuses connections is a plain error."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert failure(SOURCE, tmp_path).id == "data-hub-not-reached"


@pytest.mark.parametrize("by_environment", [True, False])
def test_offline_asks_nobody(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_environment: bool
) -> None:
    """With --offline or HF_HUB_OFFLINE a data set that is not in the cache is an error at once."""
    if by_environment:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    error = failure(SOURCE, tmp_path, offline=not by_environment)
    assert error.id == "data-hub-not-cached" and "trainbox fetch" in error.fix
    assert hub.requests == []


def test_forgetting_what_was_never_resolved_is_no_error(tmp_path: Path) -> None:
    """`fetch --refresh` works the first time too."""
    forget(SOURCE, cache=tmp_path)


class DatasetNotFoundError(FileNotFoundError):
    """As in datasets.exceptions."""


class DatasetGenerationError(Exception):
    """As in datasets.exceptions."""


@pytest.mark.parametrize(
    ("error", "error_id", "words"),
    [
        (DatasetNotFoundError("'a' is a gated dataset on the Hub."), "data-hub-gated", "gated"),
        (DatasetNotFoundError("'a' doesn't exist"), "data-hub-not-found", "no data set"),
        (
            ValueError("Unknown split \"train\". Should be one of ['test']."),
            "data-hub-split",
            "no split `train`",
        ),
        (ValueError("Config name is missing."), "data-hub-unreadable", "several configurations"),
        (DatasetGenerationError("secret words"), "data-hub-unreadable", "cannot be read as rows"),
    ],
)
def test_what_the_loader_raises_is_said_in_plain_words(
    error: Exception, error_id: str, words: str
) -> None:
    """Gated, absent, no such split, broken files: each has its words, and no text of a row."""
    fault = hub_error(SOURCE, error)
    assert (fault.id, words in fault.what) == (error_id, True)
    assert "secret" not in fault.render()
