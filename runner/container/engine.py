"""Reach the Docker engine, and find a `docker` command that can build."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

from env_check.probes.host import wsl_version
from env_check.system import LocalSystem, System
from runner.errors import BackendError

if TYPE_CHECKING:
    from docker import APIClient

ENGINE_SECONDS = 60.0  # until a call counts as unanswered
COMMAND_SECONDS = 20.0
# Windows' PATH, which WSL appends, leads to Docker Desktop where that is installed.
DESKTOP_ON_WINDOWS = "/Docker/Docker/resources/bin"
DEFAULT_HOST = "unix:///var/run/docker.sock"
# From 23.0 on, `docker build` is a plug-in (buildx); an older client has BuildKit in itself.
FIRST_WITHOUT_BUILDKIT = 23


def connect(*, timeout_seconds: float | None = ENGINE_SECONDS) -> APIClient:
    """Return a client of the engine that the `docker` command would talk to.

    Args:
        timeout_seconds: of every call; None for calls that wait for a container.

    Raises:
        BackendError: no engine answers, or this user may not speak to it.
    """
    import docker  # 0.3 s: only where an engine is wanted
    from docker.errors import DockerException

    host = engine_host()
    try:
        _knock(host)
        return docker.APIClient(
            base_url=host,
            timeout=timeout_seconds,  # type: ignore[arg-type]  # None is no limit
        )
    except (DockerException, OSError) as error:
        raise engine_error(str(error), host) from error


def engine_host() -> str:
    """Return the address of DOCKER_HOST, else of the current context, else the usual socket."""
    if explicit := os.environ.get("DOCKER_HOST"):
        return explicit
    from docker.context import ContextAPI
    from docker.errors import DockerException

    try:  # Docker Desktop and rootless engines stand in the current context
        context = ContextAPI.get_current_context()
    except (DockerException, OSError) as error:
        raise engine_error(str(error), DEFAULT_HOST) from error
    return (context.Host if context is not None else None) or DEFAULT_HOST


def is_reachable() -> bool:
    """Tell whether anybody listens where the engine is expected."""
    try:
        _knock(engine_host())
    except (BackendError, OSError):
        return False
    return True


def _knock(host: str) -> None:
    """Open the engine's socket and close it: the SDK leaves one open where that fails.

    Raises:
        OSError: nobody answers, or this user may not ask.
    """
    scheme, _, path = host.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(ENGINE_SECONDS)
            knocking.connect(path)


def engine_error(text: str, host: str) -> BackendError:
    """Return the error for what the engine's socket, or the `docker` command, said."""
    if re.search(r"permission denied", text, re.I):
        return BackendError(
            id="docker-permission",
            what="this user may not speak to the Docker engine (permission denied)",
            where=host,
            why="the engine's socket belongs to root and the group `docker`",
            fix="sudo usermod -aG docker $USER, log in again (gives root's rights on this machine; "
            "rootless Docker does not), or train without it: --backend host",
        )
    return BackendError(
        id="docker-no-engine",
        what="no Docker engine answers",
        where=host,
        why="the backend `docker` trains inside a container",
        fix=f"{start_engine(LocalSystem())}; or train without it: --backend host",
    )


def start_engine(system: System) -> str:
    """Return what brings an engine up here: another one that answers, Desktop's, or a service."""
    if system.variable("DOCKER_HOST"):
        return "correct DOCKER_HOST, or unset it"
    for socket_path in other_sockets(system):
        if system.exists(socket_path):
            return f"another engine is here: export DOCKER_HOST=unix://{socket_path}"
    if not wsl_version(system, system.kernel()[1]):
        return "start it: sudo systemctl start docker (Docker Desktop: from its menu)"
    if any(DESKTOP_ON_WINDOWS in each for each in (system.variable("PATH") or "").split(":")):
        return (
            "start Docker Desktop in Windows and turn this distribution on: Settings, Resources, "
            "WSL integration"
        )
    return (
        "start it: sudo service docker start (or install Docker Desktop in Windows, with Settings, "
        "Resources, WSL integration turned on for this distribution)"
    )


def other_sockets(system: System) -> tuple[str, ...]:
    """Return where rootless engines and Docker Desktop on Linux listen."""
    runtime = system.variable("XDG_RUNTIME_DIR") or f"/run/user/{system.user_id()}"
    return (f"{runtime}/docker.sock", f"{system.home()}/.docker/desktop/docker.sock")


def find_builder() -> list[str]:
    """Return the first `docker` of PATH that can build with BuildKit, as the start of a command.

    Raises:
        BackendError: there is no `docker` command, or none that can build.
    """
    found = list(_docker_commands())
    for program in found:
        if _can_build(program):
            return [program]
    if found:
        raise BackendError(
            id="docker-no-buildx",
            what=f"`{found[0]}` cannot build images: its plug-in buildx is missing",
            why="the image is built on this machine, with BuildKit",
            fix="apt-get install docker-buildx-plugin (Docker's packages) or docker-buildx "
            "(the distribution's)",
        )
    raise BackendError(
        id="docker-no-command",
        what="there is no `docker` command",
        why="the image is built on this machine with it",
        fix="apt-get install docker-ce-cli docker-buildx-plugin (Docker's packages) or docker.io "
        "(the distribution's)",
    )


def _docker_commands() -> Iterator[str]:
    seen = set()
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        program = shutil.which("docker", path=folder or ".")
        if program and os.path.realpath(program) not in seen:
            seen.add(os.path.realpath(program))
            yield program


def _can_build(program: str) -> bool:
    version = re.search(r"version (\d+)\.", _output([program, "--version"]) or "")
    if version is None:
        return False
    is_old = int(version[1]) < FIRST_WITHOUT_BUILDKIT
    return is_old or _output([program, "buildx", "version"]) is not None


def _output(command: list[str]) -> str | None:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
