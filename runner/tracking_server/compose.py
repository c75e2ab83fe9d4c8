"""The MLflow server of compose.yaml: a container, and its data on a volume.

Each runs folder has a Compose project of its own; that of the clone's `runs` is the one that
`docker compose up` by hand makes too.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner.container.available import why_no_image
from runner.container.build import ensure_image
from runner.container.engine import connect
from runner.container.image import SOURCE_ROOT, choose_variant, image_tag
from runner.errors import BackendError
from runner.tracking_server.place import COMPOSE, Server, place, used_kinds
from runner.tracking_server.reach import HOST, PORT_VARIABLE, choose_port, wait_until_healthy

FILE = SOURCE_ROOT / "compose.yaml"
PROJECT = "trainbox"  # its name in the file
SERVICE = "mlflow"
PORT = 5000  # inside the container
FIRST_VERSION = 2  # the first that reads a file without a version
COMMAND_SECONDS = 120.0
NUM_PORTS_TRIED = 3
PORT_TAKEN = re.compile(r"port is already allocated|address already in use")


def find_compose() -> list[str]:
    """Return the start of a command: `docker compose`, `docker-compose`, or that of our own lock.

    Raises:
        BackendError: neither is installed.
    """
    own = str(Path(sys.executable).parent / "docker-compose")
    for command in (["docker", "compose"], ["docker-compose"], [own]):
        try:
            done = _run([*command, "version", "--short"])
        except OSError:
            continue
        version = re.match(r"v?(\d+)\.", done.stdout)
        if done.returncode == 0 and version and int(version[1]) >= FIRST_VERSION:
            return command
    raise BackendError(
        id="tracking-no-compose",
        what="there is no Docker Compose: neither `docker compose` nor `docker-compose` 2 or newer",
        why="the MLflow server's container is started by it",
        fix="apt-get install docker-compose-plugin (Docker's packages) or docker-compose-v2 "
        "(Ubuntu's); or trainbox up --server local",
    )


def why_not() -> str | None:
    """Return why the container cannot be had here, or None where it can."""
    if reason := why_no_image(choose_variant(SERVICE)):
        return reason
    try:
        find_compose()
        with connect() as client:
            is_here = client.base_url.startswith("http+docker://")  # a socket of this machine
    except BackendError as error:
        return error.what
    return None if is_here else "the Docker engine is on another machine"


def has_image() -> bool:
    """Say whether the server's image is built."""
    from docker.errors import DockerException

    try:
        with connect() as client:
            client.inspect_image(image_tag(choose_variant(SERVICE)))  # type: ignore[no-untyped-call]
    except (BackendError, DockerException):
        return False
    return True


def status(runs: Path) -> Server | None:
    """Return the running server of a runs folder that has used one; else None."""
    if COMPOSE not in used_kinds(place(runs)):
        return None
    try:
        port = _published_port(runs)
    except (BackendError, OSError):  # all that the SDK raises for no answer is an OSError
        return None
    return None if port is None else _described(runs, port)


def start(runs: Path, *, say: Callable[[str], None]) -> Server:
    """Start the container; return its server when it answers. One that runs is left as it is.

    Raises:
        BackendError: no image, no Compose, no port, or the server does not start.
    """
    tag = ensure_image(choose_variant(SERVICE), say=say)
    port = _published_port(runs)
    if port is None:
        port = _up(runs, tag)
    server = _described(runs, port)
    try:
        wait_until_ready(runs, server)
    except BackendError:
        _compose(runs, "stop")  # it would be restarted for ever; its log stays
        raise
    return server


def wait_until_ready(runs: Path, server: Server) -> None:
    """Wait for the first answer of a server that has been started.

    Raises:
        BackendError: it ended, or does not answer in time.
    """
    wait_until_healthy(
        server.url,
        is_alive=lambda: _published_port(runs) is not None,
        not_started=lambda reason: _not_started(runs, f"{reason}{_last_error(runs)}"),
    )


def end(runs: Path) -> Server | None:
    """Remove the container and its network; the volume stays. Return the server that ran.

    Raises:
        BackendError: an engine answers, and there is no Compose or it fails.
    """
    if COMPOSE not in used_kinds(place(runs)):
        return None
    server = status(runs)
    try:
        if not _containers(runs):
            return None
    except BackendError:  # no engine: then nothing runs either
        return None
    done = _compose(runs, "down")
    if done.returncode:
        raise _failed(runs, "end", done)
    return server


def project(runs: Path) -> str:
    """Return the name of the Compose project of a runs folder."""
    folder = runs.absolute()
    if folder == SOURCE_ROOT / "runs":
        return PROJECT
    return f"{PROJECT}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def data_of(runs: Path) -> str:
    """Return where the data lies, in words."""
    return f"Docker volume {project(runs)}_data"


def _described(runs: Path, port: int) -> Server:
    return Server(
        kind=COMPOSE,
        url=f"http://{HOST}:{port}",
        data=data_of(runs),
        log=f"docker logs {_container_name(runs)}",
    )


def _container_name(runs: Path) -> str:
    return f"{project(runs)}-{SERVICE}-1"


def _up(runs: Path, tag: str) -> int:
    """Create and start the container; return the port it is published on."""
    port = choose_port()
    for _attempt in range(NUM_PORTS_TRIED):
        done = _compose(runs, "up", "--detach", "--no-build", image=tag, port=port)
        if done.returncode == 0:
            return port
        if not PORT_TAKEN.search(done.stderr):
            break
        port = choose_port(port + 1)  # another took it since, or an engine's rule holds it
    raise _failed(runs, "start", done)


def _published_port(runs: Path) -> int | None:
    """Return the loopback port of the running container, or None where none runs."""
    ports = [
        int(port["PublicPort"])
        for container in _containers(runs)
        if container["State"] == "running"
        for port in container["Ports"]
        if port["PrivatePort"] == PORT and port.get("PublicPort")
    ]
    return ports[0] if ports else None


def _containers(runs: Path) -> list[dict[str, Any]]:
    """Return the server's container in a list, in whatever state, or an empty one."""
    labels = {"com.docker.compose.project": project(runs), "com.docker.compose.service": SERVICE}
    wanted = [f"{name}={value}" for name, value in labels.items()]
    with connect() as client:
        found: list[dict[str, Any]] = client.containers(all=True, filters={"label": wanted})
    return found


def _compose(
    runs: Path, *arguments: str, image: str | None = None, port: int | None = None
) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if image is not None:
        environment["TRAINBOX_MLFLOW_IMAGE"] = image
    if port is not None:
        environment[PORT_VARIABLE] = str(port)
    options = ["--project-name", project(runs), "--file", str(FILE)]
    return _run([*find_compose(), *options, *arguments], environment)


def _run(
    command: list[str], environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        said = f"no answer within {COMMAND_SECONDS:.0f} s"
        return subprocess.CompletedProcess(command, returncode=1, stdout="", stderr=said)


def _last_error(runs: Path) -> str:
    """Return the last complaint in the container's log, to be put behind a reason."""
    with connect() as client:
        from docker.errors import DockerException

        try:
            log = client.logs(_container_name(runs), tail=50).decode("utf-8", errors="replace")
        except DockerException:
            return ""
    lines = [line for line in log.splitlines() if "Error" in line]
    return f": {lines[-1][:200]}" if lines else ""


def _failed(runs: Path, doing: str, done: subprocess.CompletedProcess[str]) -> BackendError:
    last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1].strip()
    return _not_started(runs, f"Compose cannot {doing} it: {last[:300]}")


def _not_started(runs: Path, reason: str) -> BackendError:
    return BackendError(
        id="tracking-container-not-started",
        what=f"the container of the MLflow server: {reason}",
        where=f"{FILE.name}, project {project(runs)}",
        why="runs are recorded all the same, but MLflow does not show them",
        fix=f"docker logs {_container_name(runs)}; then trainbox down, trainbox up, and "
        "trainbox sync --all",
    )
