"""A module run in the image: its output, its end, and what it cannot reach."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

import runner
from runner.container.engine import connect
from runner.container.tool import LABEL, run_tool

pytestmark = pytest.mark.docker


def tools_of(folder: Path) -> list[dict[str, Any]]:
    """Return the containers of tools, running or ended, that have a folder or one below it."""
    with connect() as client:
        found = client.containers(all=True, filters={"label": LABEL})
    return [
        container
        for container in found
        if any(Path(mount["Source"]).is_relative_to(folder) for mount in container["Mounts"])
    ]


def run_code(code: str, folder: Path, *, has_network: bool = False) -> int:
    """Run a statement in a container that may write into a folder; return its exit code."""
    arguments = ["-n", "1", "-r", "1", code]
    ended = run_tool("timeit", *arguments, writable=[folder], has_network=has_network, say=print)
    return ended.exit_code


def test_output_and_end_come_back(tmp_path: Path) -> None:
    """Standard output is the result, the last line of standard error the reason of a failure."""
    said: list[str] = []
    ended = run_tool("runner", "--version", writable=[tmp_path], say=said.append)
    assert (ended.exit_code, ended.out) == (0, f"trainbox {runner.__version__}\n")
    ended = run_tool("runner.nothing", writable=[tmp_path], say=said.append)
    assert ended.exit_code == 1 and "No module named" in ended.last_line
    assert said[-1] == ended.last_line
    assert tools_of(tmp_path) == []


def test_it_writes_where_it_may_and_nowhere_else(tmp_path: Path) -> None:
    """What it writes belongs to the caller; a folder that is only read stays as it is."""
    (tmp_path / "mine").mkdir()
    assert run_code(f"open('{tmp_path}/mine/new', 'w')", tmp_path / "mine") == 0
    assert (tmp_path / "mine/new").stat().st_uid == os.getuid()
    assert run_code("open('/opt/new', 'w')", tmp_path / "mine") == 1
    readable = f"open('{tmp_path}/new', 'w')"
    ended = run_tool(
        "timeit", "-n", "1", readable,
        writable=[tmp_path / "mine"], readable=[tmp_path], say=print,
    )  # fmt: skip
    assert ended.exit_code == 1 and not (tmp_path / "new").exists()


def test_it_has_a_network_only_where_it_is_given_one(tmp_path: Path) -> None:
    """A service of this machine is reached by the container that fetches, not by the others."""
    with connect() as client:
        bridge = client.inspect_network("bridge")["IPAM"]["Config"][0]  # type: ignore[no-untyped-call]
    gateway = bridge.get("Gateway") or bridge["Subnet"].rsplit(".", 1)[0] + ".1"
    with socket.create_server((gateway, 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('{gateway}', {port}), timeout=60).close()"
        assert run_code(code, tmp_path, has_network=True) == 0
        assert run_code(code, tmp_path) == 1
