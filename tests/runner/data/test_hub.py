"""A data set on the hub that cannot be had is named in plain words."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runner.data.hub import hub_error, resolve_revision
from runner.spec import DataSource

SOURCE = DataSource(path="org/name")


class DatasetNotFoundError(FileNotFoundError):
    """As in datasets.exceptions."""


class ConnectError(Exception):
    """As in the HTTP library of huggingface_hub."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DatasetNotFoundError("Dataset 'org/name' is a gated dataset on the Hub."), "is gated"),
        (DatasetNotFoundError("Dataset 'org/name' doesn't exist on the Hub"), "no data set"),
        (ValueError('Unknown split "train". Should be one of ["test"].'), "has no split `train`"),
        (ConnectError("Name or service not known"), "cannot be had (ConnectError)"),
    ],
)
def test_reason_is_said_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    """Gated, absent, no such split, no network: each has its own words and fix."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert words in hub_error(SOURCE, error).what


def test_offline_keeps_the_revision_as_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """With HF_HUB_OFFLINE nobody is asked for a commit."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert resolve_revision(SOURCE.model_copy(update={"revision": "main"})) == "main"


@pytest.mark.slow
def test_offline_data_set_that_is_not_cached_is_a_plain_error() -> None:
    """The real library, offline: what is missing and what brings it."""
    code = (
        "from runner.data.hub import read_hub\n"
        "from runner.errors import DataError\n"
        "from runner.spec import DataSource\n"
        "try: list(read_hub(DataSource(path='org/nothing-here')))\n"
        "except DataError as error: print(error.what)"
    )
    pytest.importorskip("datasets")
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )
    assert "is not in the cache" in done.stdout
