"""Where the cache is, also for users that have no home."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import BackendError
from runner.record.layout import cache_root


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRAINBOX_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("TRAINBOX_CACHE", "/there"),
        ("XDG_CACHE_HOME", "/there/trainbox"),
        ("HOME", "/there/.cache/trainbox"),
    ],
)
def test_cache_is_where_the_environment_says(
    variable: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own variable, the desktop's, the home folder, in this order."""
    monkeypatch.setenv(variable, "/there")
    assert cache_root() == Path(expected)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare user id in a container has neither $HOME nor an entry in the list of users."""
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}["no such user"])
    with pytest.raises(BackendError) as caught:
        cache_root()
    assert caught.value.id == "cache-no-home" and "TRAINBOX_CACHE" in caught.value.fix
