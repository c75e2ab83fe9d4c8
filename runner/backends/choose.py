"""The table of backends, and which one `auto` is here."""

from __future__ import annotations

from collections.abc import Callable

from runner.backends.base import Backend
from runner.backends.docker import DockerBackend
from runner.backends.host import HostBackend

BACKENDS: dict[str, Callable[[], Backend]] = {"host": HostBackend, "docker": DockerBackend}


def choose_backend(name: str, *, say: Callable[[str], None]) -> Backend:
    """Return the backend of that name; `auto` says what it chose and why."""
    if name != "auto":
        return BACKENDS[name]()
    say("backend: host (this environment)")
    return HostBackend()
