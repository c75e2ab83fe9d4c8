"""The MLflow server of a runs folder: its files, and which kinds of server hold its data."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runner.record.layout import SCHEMA_VERSION

LOCAL, COMPOSE = "local", "compose"
KINDS = (COMPOSE, LOCAL)


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server."""

    kind: str  # local | compose; a store of its own each, whatever port the server got
    url: str
    data: str  # where database and artifacts lie, for people
    log: str  # its file, or the command that prints it
    pid: int | None = None  # of a process; leads a session of its own


@dataclass(frozen=True, kw_only=True)
class Place:
    """Every file of the server below a runs folder."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def record(self) -> Path:
        """Where the local server listens and which process it is."""
        return self.folder / "server.json"

    @property
    def kinds(self) -> Path:
        """Which kinds of server have been used, the current one last."""
        return self.folder / "kinds.json"

    @property
    def lock(self) -> Path:
        """Held while a server is started or ended."""
        return self.folder / ".lock"


def place(runs: Path) -> Place:
    """Return where the server of a runs folder keeps its files."""
    return Place(folder=runs.absolute() / ".mlflow")


def used_kinds(where: Place) -> list[str]:
    """Return the kinds of server that hold data of these runs, the current one last."""
    try:
        listed = json.loads(where.kinds.read_text(encoding="utf-8"))["kinds"]
        return [kind for kind in listed if kind in KINDS]
    except (OSError, ValueError, KeyError, TypeError):
        return [LOCAL] if where.database.exists() else []


def note_kind(where: Place, kind: str) -> None:
    """Note that a kind of server is the current one."""
    kinds = [other for other in used_kinds(where) if other != kind] + [kind]
    text = json.dumps({"schema_version": SCHEMA_VERSION, "kinds": kinds})
    where.kinds.write_text(text + "\n", encoding="utf-8")


@contextmanager
def locked(where: Place) -> Iterator[None]:
    """Let one `up` or `down` at a time through."""
    with where.lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
