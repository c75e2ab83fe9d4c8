"""Reaching the engine, without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.container.engine import connect, find_builder, start_engine
from runner.errors import BackendError
from tests.env_check.recorded import RecordedSystem, load_host

OLD = "#!/bin/sh\necho Docker version 20.10.24, build x\n"
NEW_ALONE = '#!/bin/sh\n[ "$1" = buildx ] && exit 1\necho Docker version 29.1.0, build x\n'
NEW = "#!/bin/sh\necho Docker version 29.1.0, build x\n"


def write_docker(folder: Path, script: str) -> str:
    folder.mkdir()
    (folder / "docker").write_text(script)
    (folder / "docker").chmod(0o755)
    return str(folder)


def test_no_engine_is_an_error_with_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no engine answers, the error names the socket and the way without Docker."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(BackendError) as caught:
        connect()
    assert caught.value.id == "docker-no-engine" and "--backend host" in caught.value.fix
    assert str(caught.value.where).endswith("none.sock")


@pytest.mark.parametrize(("script", "can"), [(OLD, True), (NEW, True), (NEW_ALONE, False)])
def test_a_docker_without_buildx_cannot_build(
    script: str, can: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old client has BuildKit in itself, a new one needs its plug-in."""
    monkeypatch.setenv("PATH", write_docker(tmp_path / "a", script) + ":/usr/sbin")
    if can:
        assert find_builder() == [str(tmp_path / "a/docker")]
    else:
        with pytest.raises(BackendError, match="docker-no-buildx"):
            find_builder()


def test_the_first_docker_that_can_build_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer client without buildx earlier in PATH does not stop a build."""
    folders = [write_docker(tmp_path / "a", NEW_ALONE), write_docker(tmp_path / "b", OLD)]
    monkeypatch.setenv("PATH", ":".join(folders))
    assert find_builder() == [str(tmp_path / "b/docker")]


def test_no_docker_command_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any `docker` the error says which package has it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match="docker-no-command"):
        find_builder()


def machine(host: str, **variables: str) -> RecordedSystem:
    recorded = dict(load_host(host))
    recorded["variables"] = {**recorded.get("variables", {}), **variables}
    return RecordedSystem(recorded)


def test_an_engine_of_the_users_own_is_found() -> None:
    """A rootless engine, or Docker Desktop's, answers at another socket: the fix is its address."""
    rootless = machine("ubuntu-rtx4090")
    rootless.files["/run/user/1000/docker.sock"] = ""
    assert "DOCKER_HOST=unix:///run/user/1000/docker.sock" in start_engine(rootless)
    assert "systemctl start docker" in start_engine(machine("ubuntu-rtx4090"))
    assert "unset it" in start_engine(machine("ubuntu-rtx4090", DOCKER_HOST="tcp://x:1"))


def test_under_wsl_the_fix_is_docker_desktops_integration_or_the_service() -> None:
    """Docker Desktop in Windows shows in PATH: its integration with this distribution is off."""
    desktop = "/usr/bin:/mnt/c/Program Files/Docker/Docker/resources/bin"
    assert "WSL integration" in start_engine(machine("wsl-rtx2000ada", PATH=desktop))
    assert "turn this distribution on" in start_engine(machine("wsl-rtx2000ada", PATH=desktop))
    assert "sudo service docker start" in start_engine(machine("wsl-rtx2000ada", PATH="/usr/bin"))
