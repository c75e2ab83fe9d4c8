"""The MLflow server as a process of this environment: started once, found again, ended whole.

Database, artifacts, log and server.json, which says where it listens, lie in `runs/.mlflow`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from runner.backends.host import child_environment
from runner.errors import BackendError
from runner.record.layout import SCHEMA_VERSION
from runner.tracking_server.place import LOCAL, Place, Server, place
from runner.tracking_server.reach import HOST, choose_port, wait_until_healthy

STOP_SECONDS = 10
PORT_TRIES = 10  # another may take the port in the seconds until it is bound


@dataclass(frozen=True, kw_only=True)
class Process:
    """The server's process, as server.json has it."""

    pid: int  # leads a session of its own; the workers are its descendants
    process_start: float  # seconds since 1970, so that a reused pid is not taken for the server
    port: int
    schema_version: int = SCHEMA_VERSION

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def is_alive(self) -> bool:
        start = _process_start(self.pid)
        # the kernel tells its own start in whole seconds, which a set clock moves by one
        return start is not None and abs(start - self.process_start) < 2.0


def status(runs: Path) -> Server | None:
    """Return the running server of a runs folder; one that died is None."""
    where = place(runs)
    try:
        process = Process(**json.loads(where.record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return _described(process, where) if process.is_alive else None


def is_installed() -> bool:
    """Say whether this environment has the server: mlflow-skinny has the client alone."""
    return bool(importlib.util.find_spec("mlflow") and importlib.util.find_spec("flask"))


def start(runs: Path) -> Server:
    """Start the server; return it when it answers.

    Raises:
        BackendError: it is not installed, does not start, or does not answer in time.
    """
    if not is_installed():
        raise BackendError(
            id="tracking-server-not-installed",
            what="the MLflow server is not installed in this environment",
            why="it belongs to the full environment; the thin one has the client alone",
            fix="with Docker: `trainbox up --server compose`; or `TRAINBOX_LOCK=cpu make setup`; "
            "or name a server: export MLFLOW_TRACKING_URI=http://…",
        )
    where = place(runs)
    port = choose_port()
    for attempt in range(PORT_TRIES):
        process = _launch(where, port)
        where.record.write_text(json.dumps(asdict(process)) + "\n", encoding="utf-8")
        try:
            wait_until_ready(runs, process)
            break
        except BackendError:
            _end(process.pid)
            where.record.unlink(missing_ok=True)
            if "address already in use" not in _log_tail(where) or attempt == PORT_TRIES - 1:
                raise
            port = choose_port(port + 1)
    return _described(process, where)


def wait_until_ready(runs: Path, server: Process | Server) -> None:
    """Wait for the first answer of a server that has been started.

    Raises:
        BackendError: it ended, or does not answer in time.
    """
    where = place(runs)
    wait_until_healthy(
        server.url,
        is_alive=lambda: status(runs) is not None,
        listens=lambda: _listens(server),
        not_started=lambda reason: _not_started(where, reason),
    )


def end(runs: Path) -> Server | None:
    """End the server and all its processes; return it, or None where none ran."""
    server = status(runs)
    if server is not None and server.pid is not None:
        _end(server.pid)
    place(runs).record.unlink(missing_ok=True)
    return server


def _described(process: Process, where: Place) -> Server:
    return Server(
        kind=LOCAL,
        url=process.url,
        data=str(where.folder),
        log=str(where.log),
        pid=process.pid,
    )


def _launch(where: Place, port: int) -> Process:
    where.artifacts.mkdir(exist_ok=True)
    command = [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", HOST, "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{where.database}"),
        *("--serve-artifacts", "--artifacts-destination", str(where.artifacts)),
        *("--allowed-hosts", "127.0.0.1:*,localhost:*"),
    ]
    with where.log.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=where.folder,
            env=server_environment(os.environ),
            start_new_session=True,  # outlives the terminal and the run that started it
        )
    process.returncode = 0  # it is not waited for: keeps Popen from warning that it runs on
    return Process(pid=process.pid, process_start=_process_start(process.pid) or 0.0, port=port)


def server_environment(parent: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the server: no secrets, no settings of the client."""
    kept = {
        name: value
        for name, value in child_environment(parent).items()
        if not name.startswith(("MLFLOW_", "_MLFLOW_"))
    }
    return kept | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        # The job runners are for evaluating agents: 8 processes, 1.3 GiB and 18 cpu seconds of
        # start-up that tracking has no use for (measured, MLflow 3.17.2).
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
        "PYTHONWARNINGS": "ignore",
    }


def _not_started(where: Place, reason: str) -> BackendError:
    lines = [line for line in _log_tail(where).splitlines() if "Error" in line]
    last = f": {lines[-1][:200]}" if lines else ""
    return BackendError(
        id="tracking-server-not-started",
        what=f"the MLflow server did not start: {reason}{last}",
        where=str(where.log),
        why="runs are recorded all the same, but MLflow does not show them",
        fix="look at the log; then `trainbox down`, `trainbox up`, and `trainbox sync --all`",
    )


def _log_tail(where: Place) -> str:
    try:
        return where.log.read_bytes()[-4096:].decode("utf-8", errors="replace")
    except OSError:
        return ""


def _process_start(pid: int) -> float | None:
    import psutil  # 20 ms, and only for these commands

    try:
        process = psutil.Process(pid)
        # one that has ended and whose parent has not asked yet is not alive
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def _listens(server: Process | Server) -> bool:
    """Say whether the server's own processes hold its port: it is taken seconds after the start."""
    import psutil

    assert server.pid is not None, "a process"
    port = int(server.url.rpartition(":")[2])
    try:
        leader = psutil.Process(server.pid)
        tree = [leader, *leader.children(recursive=True)]
        held = {
            connection.laddr.port
            for process in tree
            for connection in process.net_connections("inet4")
            if connection.status == psutil.CONN_LISTEN
        }
    except psutil.Error:
        return False
    return port in held


def _end(pid: int) -> None:
    """End a process and its descendants; kill what is left after ten seconds."""
    import psutil

    try:
        leader = psutil.Process(pid)
        tree = [leader, *leader.children(recursive=True)]
        leader.send_signal(signal.SIGTERM)  # passes it on to its worker
    except psutil.Error:
        return
    _, left = psutil.wait_procs(tree, timeout=STOP_SECONDS)
    for process in left:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(left, timeout=STOP_SECONDS)
