"""What sort of engine it is, as far as that changes what a container is given.

Rootless engines map the caller to root inside, userns-remap maps everybody away, and Docker Desktop
shares folders with a virtual machine whose mapping depends on its release: that one is tried out.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import BackendError

if TYPE_CHECKING:
    from docker import APIClient

ROOT = "0:0"
DESKTOP = "Docker Desktop"


@dataclass(frozen=True, kw_only=True)
class EngineKind:
    """The answers of `docker info` that matter to a training container."""

    is_rootless: bool
    is_remapped: bool  # userns-remap of the daemon
    is_desktop: bool
    limits_memory: bool
    limits_pids: bool

    @property
    def userns_mode(self) -> str | None:
        """How the container's users are mapped; `host` turns the daemon's mapping off."""
        return "host" if self.is_remapped else None


def read_kind(info: Mapping[str, Any]) -> EngineKind:
    """Read the kind of an engine from its `docker info`."""
    options = {str(each).partition(",")[0] for each in info.get("SecurityOptions") or ()}
    return EngineKind(
        is_rootless="name=rootless" in options,
        is_remapped="name=userns" in options,
        is_desktop=info.get("OperatingSystem") == DESKTOP,
        limits_memory=info.get("MemoryLimit") is not False,
        limits_pids=info.get("PidsLimit") is not False,
    )


def caller() -> str:
    """Return this process's user and group as `--user` takes them."""
    return f"{os.getuid()}:{os.getgid()}"


def user_inside(client: APIClient, kind: EngineKind, tag: str, folder: Path) -> str:
    """Return the user inside whose files belong to the caller outside.

    Args:
        tag: an image with `sh`, to try it out with.
        folder: one the caller can write, that will be mounted.

    Raises:
        BackendError: there is none.
    """
    if kind.is_rootless:
        return ROOT
    if not kind.is_desktop:
        return caller()
    for user in (caller(), ROOT):
        if owns_what_it_writes(client, tag, folder, user):
            return user
    raise BackendError(
        id="docker-not-owner",
        what="what a container writes does not belong to you, whichever user runs in it",
        where=str(folder),
        why="Docker Desktop does not share this folder, or shares it under another owner",
        fix="share it (Docker Desktop: Settings, Resources, File sharing), or use Docker Engine: "
        "docker context use default; or train without it: --backend host",
    )


def owns_what_it_writes(client: APIClient, tag: str, folder: Path, user: str) -> bool:
    """Write a file from inside as a user; return whether the caller owns it outside."""
    from docker.types import Mount

    probe = folder / f".owner-{secrets.token_hex(4)}"
    created = client.create_container(
        tag,
        ["sh", "-c", ': > "$0"', str(probe)],
        user=user,
        host_config=client.create_host_config(
            network_mode="none",
            cap_drop=["ALL"],
            mounts=[Mount(str(folder), str(folder), type="bind")],
        ),
    )
    try:
        client.start(created)
        client.wait(created)
        return probe.exists() and probe.stat().st_uid == os.getuid()
    except OSError:  # the engine refuses the folder
        return False
    finally:
        client.remove_container(created, force=True)
        probe.unlink(missing_ok=True)


def unkept_limits(kind: EngineKind, memory_gib: float | None) -> list[str]:
    """Return what this engine would not keep of the limits, a line each.

    Raises:
        BackendError: a memory limit was asked for, and it would not be kept.
    """
    if memory_gib and not kind.limits_memory:
        raise BackendError(
            id="docker-no-memory-limit",
            what=f"this engine cannot keep `resources.memory_gib` ({memory_gib:g})",
            why="its control groups are not delegated to it, as of rootless engines on cgroup v1",
            fix="turn on cgroup v2 and delegation (docs.docker.com/go/rootless), or "
            "--set resources.memory_gib=null",
        )
    return [] if kind.limits_pids else ["this engine does not limit the number of processes"]
