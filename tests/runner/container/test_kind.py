"""Kinds of engines, from recorded answers of `docker info`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.container.kind import ROOT, caller, read_kind, unkept_limits, user_inside
from runner.errors import BackendError

PLAIN = {
    "OperatingSystem": "Ubuntu 24.04.3 LTS", "MemoryLimit": True, "PidsLimit": True,
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
}  # fmt: skip
ROOTLESS: dict[str, Any] = PLAIN | {
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"],
    "MemoryLimit": False, "PidsLimit": False,
}  # fmt: skip
REMAPPED = PLAIN | {"SecurityOptions": ["name=seccomp,profile=default", "name=userns"]}
DESKTOP = PLAIN | {"OperatingSystem": "Docker Desktop"}


class NoEngine:
    """Stands where an engine must not be asked."""


def test_the_caller_trains_as_itself_and_as_root_of_a_rootless_engine(tmp_path: Path) -> None:
    """Nobody but root inside is the caller outside, where the engine is the caller's own."""
    for info, user in ((PLAIN, caller()), (REMAPPED, caller()), (ROOTLESS, ROOT)):
        assert user_inside(NoEngine(), read_kind(info), "image", tmp_path) == user  # type: ignore[arg-type]


def test_a_mapping_of_the_daemon_is_turned_off_for_the_run() -> None:
    """Under userns-remap the run directory would be nobody's."""
    assert read_kind(REMAPPED).userns_mode == "host" and read_kind(PLAIN).userns_mode is None


@pytest.mark.parametrize("owner", [caller(), ROOT, None])
def test_docker_desktop_is_tried_out(
    owner: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its releases map users differently: the one whose files are the caller's is taken."""
    monkeypatch.setattr(
        "runner.container.kind.owns_what_it_writes",
        lambda client, tag, folder, user: user == owner,
    )
    kind = read_kind(DESKTOP)
    if owner is None:
        with pytest.raises(BackendError, match="docker-not-owner"):
            user_inside(NoEngine(), kind, "image", tmp_path)  # type: ignore[arg-type]
    else:
        assert user_inside(NoEngine(), kind, "image", tmp_path) == owner  # type: ignore[arg-type]


def test_a_memory_limit_that_would_not_be_kept_is_refused() -> None:
    """Asked for and not kept is an error, the pids limit that nobody asked for a line."""
    assert unkept_limits(read_kind(PLAIN), 8.0) == []
    assert unkept_limits(read_kind(ROOTLESS), None) == [
        "this engine does not limit the number of processes"
    ]
    with pytest.raises(BackendError, match="docker-no-memory-limit"):
        unkept_limits(read_kind(ROOTLESS), 8.0)
