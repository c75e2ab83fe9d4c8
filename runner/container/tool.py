"""Run one module of ours in the image, to its end: what this environment lacks the packages for.

The container gets the folders that are named and nothing else; a network only where it is to
download. Training has its own settings, in `settings.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.container.build import ensure_image
from runner.container.engine import connect
from runner.container.image import VARIANTS, Variant, choose_variant, image_tag
from runner.container.kind import caller, read_kind, user_inside
from runner.container.settings import KERNELS, PIDS, TEMPORARY, container_environment
from runner.container.unwind import unwound
from runner.errors import BackendError
from runner.machine import read_machine

if TYPE_CHECKING:
    from docker import APIClient

Say = Callable[[str], None]

LABEL = "trainbox.tool"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a tool ended."""

    exit_code: int
    out: str  # its standard output
    last_line: str  # of its standard error


def run_tool(
    module: str,
    *arguments: str,
    writable: Sequence[Path],
    readable: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
    has_network: bool = False,
    say: Say,
    tells: bool = True,
) -> Ended:
    """Run `python -m MODULE` as the caller's user, in an image that is built where it is absent.

    Args:
        writable, readable: folders that exist; at the same places inside.
        environment: variables; they can be read in `docker inspect`.
        has_network: reach outside, as the engine's containers do by default.
        tells: its standard error is for `say` too, and not a library's chatter.

    Raises:
        BackendError: no engine or no image, or the container does not start.
    """
    from docker.errors import APIError

    tag = ensure_image(stack_variant(), say=say)
    with unwound(), connect() as client, connect(timeout_seconds=None) as streams:
        _remove_left_overs(client)
        settings = _settings(
            client, tag, writable, readable, environment or {}, has_network=has_network
        )
        command = ["python", "-m", module, *arguments]
        try:
            container = client.create_container(command=command, **settings)["Id"]
        except APIError as error:
            raise _not_started(module, error) from error
        try:
            return run_to_end(streams, container, say if tells else lambda _: None)
        except APIError as error:
            raise _not_started(module, error) from error
        finally:
            client.remove_container(container, force=True)


def stack_variant() -> Variant:
    """Return the variant to run tools in: one that is built, else this machine's."""
    from docker.errors import DockerException

    own = "cu130" if read_machine().gpus else "cpu"
    with connect() as client:
        for name in [own, *VARIANTS]:
            variant = choose_variant(name)
            if variant.target is not None:  # a stage without the training stack
                continue
            try:
                client.inspect_image(image_tag(variant))  # type: ignore[no-untyped-call]
                return variant
            except DockerException:
                continue
    return choose_variant(own)


def _settings(
    client: APIClient,
    tag: str,
    writable: Sequence[Path],
    readable: Sequence[Path],
    environment: Mapping[str, str],
    *,
    has_network: bool,
) -> dict[str, Any]:
    from docker.types import LogConfig, Mount

    kind = read_kind(client.info())
    user = user_inside(client, kind, tag, writable[0])
    mounts = [Mount(str(path), str(path), type="bind") for path in writable]
    mounts += [Mount(str(path), str(path), type="bind", read_only=True) for path in readable]
    return {
        "image": tag,
        "user": user,
        "environment": container_environment({"NVIDIA_VISIBLE_DEVICES": "void", **environment}),
        "labels": {LABEL: ""},
        "use_config_proxy": False,
        "host_config": client.create_host_config(
            network_mode="bridge" if has_network else "none",
            init=True,
            ipc_mode="private",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            pids_limit=PIDS,
            tmpfs={TEMPORARY: "mode=1777", KERNELS: "exec,mode=1777"},
            group_add=[str(group) for group in os.getgroups()] if user == caller() else None,
            userns_mode=kind.userns_mode,
            mounts=mounts,
            log_config=LogConfig(type="none"),
        ),
    }


def run_to_end(client: APIClient, container: str, say: Say) -> Ended:
    """Start a container that was created; return how it ended. Its standard error is for `say`."""
    from docker.utils.socket import STDOUT, frames_iter

    output = client.attach_socket(container, {"stdout": 1, "stderr": 1, "stream": 1})
    out, pending, last = b"", b"", ""
    try:
        client.start(container)
        for stream, data in frames_iter(output, tty=False):  # type: ignore[no-untyped-call]
            if stream == STDOUT:
                out += data
                continue
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                last = line.decode("utf-8", errors="replace").strip() or last
                say(last)
    finally:
        # the SDK hands out a file object of a socket that nobody else closes
        beneath = getattr(output, "_sock", None)
        output.close()
        if beneath is not None:
            beneath.close()
    last = pending.decode("utf-8", errors="replace").strip() or last
    code = int(client.wait(container)["StatusCode"])
    return Ended(exit_code=code, out=out.decode("utf-8", errors="replace"), last_line=last)


def _remove_left_overs(client: APIClient) -> None:
    """Remove containers that went on to their end after their caller was killed."""
    from docker.errors import DockerException

    ended = {"label": [LABEL], "status": ["exited", "dead"]}
    for container in client.containers(all=True, filters=ended):
        try:
            client.remove_container(container["Id"])
        except DockerException:  # it is just being used, or removed
            continue


def _not_started(module: str, error: Any) -> BackendError:
    return BackendError(
        id="container-not-started",
        what=f"the Docker engine does not start a container: {error.explanation or error}",
        where=module,
        why="this environment lacks the packages for it; the image has them",
        fix="look at the engine (`docker info`); or do without it: TRAINBOX_LOCK=cpu make setup",
    )
