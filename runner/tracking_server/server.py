"""Find, start and end the MLflow server of a runs folder; choose its kind once, and say why.

The database stays where the first server put it: another kind is another database, and is taken
only when asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.errors import BackendError, JobError
from runner.tracking_server import compose, local
from runner.tracking_server.place import (
    COMPOSE,
    KINDS,
    LOCAL,
    Server,
    locked,
    note_kind,
    place,
    used_kinds,
)

KIND_VARIABLE = "TRAINBOX_MLFLOW_SERVER"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A kind of server, and why it was taken."""

    kind: str
    reason: str


def explicit_uri(job_uri: str) -> str | None:
    """Return the address that job or environment name; None means the local server."""
    if job_uri not in ("auto", "none"):
        return job_uri
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def status(runs: Path) -> Server | None:
    """Return the running server of a runs folder, of whichever kind; else None."""
    return local.status(runs) or compose.status(runs)


def up(
    runs: Path,
    *,
    wanted: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    may_build: bool = True,
) -> Server:
    """Start the server unless it runs already; return it when it answers.

    Args:
        wanted: local, compose or auto; None: what the environment says, else auto.
        say: told which kind is started and why, and how a build goes.
        may_build: wait for the image of the container to be built, even where a process serves.

    Raises:
        BackendError: it cannot be had, does not start, or does not answer in time.
        JobError: the environment asks for a kind that does not exist.
    """
    wanted = wanted or _kind_of_environment()
    where = place(runs)
    where.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(where):
        server = _running(runs, wanted)
        if server is None:
            choice = choose(
                wanted, used_kinds(where), lambda: _why_no_container(may_build=may_build)
            )
            say(f"starting the MLflow server: {choice.kind} ({choice.reason})")
            server = local.start(runs) if choice.kind == LOCAL else compose.start(runs, say=say)
        note_kind(where, server.kind)
        return server


def down(runs: Path) -> Server | None:
    """End the server, of whichever kind; return it, or None where none ran.

    Raises:
        BackendError: its container cannot be ended.
    """
    where = place(runs)
    if not where.folder.is_dir():
        return None
    with locked(where):
        ended = (local.end(runs), compose.end(runs))  # an engine may bring one back by itself
        return ended[0] or ended[1]


def choose(wanted: str, used: Sequence[str], why_no_container: Callable[[], str | None]) -> Choice:
    """Choose a kind of server.

    Args:
        wanted: local, compose or auto.
        used: kinds that hold data of these runs, the current one last.
        why_no_container: returns why compose cannot be had, or None; asked only where it decides.

    Raises:
        BackendError: the data is in a container's volume, and the container cannot be had.
    """
    if wanted in KINDS:
        return Choice(kind=wanted, reason="asked for")
    if used and used[-1] == LOCAL:
        return Choice(kind=LOCAL, reason="the runs so far are in its database")
    reason = why_no_container()
    if reason is None:
        because = "the runs so far are in its volume" if used else "a Docker engine answers"
        return Choice(kind=COMPOSE, reason=because)
    if used:
        raise BackendError(
            id="tracking-server-elsewhere",
            what=f"the runs so far are in a Docker volume, and no container can be had: {reason}",
            why="another server would have a database of its own, without them",
            fix="mend Docker, then `trainbox up`; or begin a second database: "
            "trainbox up --server local, then trainbox sync --all",
        )
    return Choice(kind=LOCAL, reason=f"no container: {reason}")


def other_data(runs: Path, server: Server) -> str | None:
    """Return where earlier runs lie that this server does not hold; None: nowhere."""
    others = [kind for kind in used_kinds(place(runs)) if kind != server.kind]
    if not others:
        return None
    return compose.data_of(runs) if COMPOSE in others else str(place(runs).folder)


def _kind_of_environment() -> str:
    named = os.environ.get(KIND_VARIABLE) or "auto"
    if named in (*KINDS, "auto"):
        return named
    raise JobError(
        id="cli-arguments",
        what=f"{KIND_VARIABLE} is `{named}`, expected compose, local or auto",
        why="it must be clear which server is meant",
        fix=f"unset {KIND_VARIABLE}",
    )


def _why_no_container(*, may_build: bool) -> str | None:
    reason = compose.why_not()
    if reason is None and not may_build and local.is_installed() and not compose.has_image():
        return "its image is not built yet; `trainbox up` builds it"
    return reason


def _require_kind(server: Server, wanted: str) -> None:
    if wanted in (server.kind, "auto"):
        return
    raise BackendError(
        id="tracking-server-other-kind",
        what=f"the server that runs is {server.kind}, not {wanted}: {server.url}",
        where=server.data,
        why="two servers would each hold a part of the runs",
        fix=f"trainbox down, then trainbox up --server {wanted}",
    )


def _running(runs: Path, wanted: str) -> Server | None:
    """Return the running server when it answers; None where there is none, or it just ended."""
    server = status(runs)
    if server is None:
        return None
    _require_kind(server, wanted)
    try:
        (local if server.kind == LOCAL else compose).wait_until_ready(runs, server)
    except BackendError:
        if status(runs) is not None:
            raise
        return None
    return server
