"""The local MLflow server: started once, found again, ended with all its processes.

It stands below the runs (`runs/.mlflow`): the database, the artifacts, the log and server.json,
which says where it listens. It listens on loopback alone: MLflow has no passwords of its own.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from runner.backends.host import child_environment
from runner.errors import BackendError
from runner.record.layout import SCHEMA_VERSION

HOST = "127.0.0.1"
FIRST_PORT = 5000
NUM_PORTS = 100
START_SECONDS = 60  # 7 s on two free cores; longer where training has them
STOP_SECONDS = 10
HEALTH_SECONDS = 2
LOCAL_STORE = "local"  # one store, whatever port its server got


@dataclass(frozen=True, kw_only=True)
class Place:
    """Every file of the local server."""

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
        """Where the server listens and which process it is."""
        return self.folder / "server.json"

    @property
    def lock(self) -> Path:
        """Held while a server is started or ended."""
        return self.folder / ".lock"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server, as server.json has it."""

    pid: int  # leads a session of its own; the workers are its descendants
    process_start: float  # seconds since 1970, so that a reused pid is not taken for the server
    port: int
    schema_version: int = SCHEMA_VERSION

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def place(runs: Path) -> Place:
    """Return where the server of a runs folder keeps its files."""
    return Place(folder=runs.absolute() / ".mlflow")


def explicit_uri(job_uri: str) -> str | None:
    """Return the address that job or environment name; None means the local server."""
    if job_uri not in ("auto", "none"):
        return job_uri
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def status(runs: Path) -> Server | None:
    """Return the running server of a runs folder; one that died is None."""
    try:
        raw = json.loads(place(runs).record.read_text(encoding="utf-8"))
        server = Server(**raw)
    except (OSError, ValueError, TypeError):
        return None
    return server if _is_alive(server) else None


def up(runs: Path) -> Server:
    """Start the server unless it runs already; return it when it answers.

    Raises:
        BackendError: it is not installed, does not start, or does not answer in time.
    """
    where = place(runs)
    where.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(where):
        server = status(runs)
        if server is not None:
            _wait_until_healthy(server, where)
            return server
        _require_mlflow()
        return _start(where)


def down(runs: Path) -> Server | None:
    """End the server and all its processes; return it, or None where none ran."""
    where = place(runs)
    if not where.folder.is_dir():
        return None
    with _locked(where):
        server = status(runs)
        if server is not None:
            _end(server.pid)
        where.record.unlink(missing_ok=True)
        return server


def _require_mlflow() -> None:
    # mlflow-skinny has the client and the command, but not the server
    if importlib.util.find_spec("mlflow") and importlib.util.find_spec("flask"):
        return
    raise BackendError(
        id="tracking-server-not-installed",
        what="the MLflow server is not installed in this environment",
        why="it belongs to the full environment; the thin one has the client alone",
        fix="run `make setup LOCK=cpu`, or name a server: export MLFLOW_TRACKING_URI=http://…",
    )


def _start(where: Place) -> Server:
    start = FIRST_PORT
    for _attempt in range(3):  # between asking for a port and taking it another may take it
        port = _free_port(start)
        server = _launch(where, port)
        where.record.write_text(json.dumps(asdict(server)) + "\n", encoding="utf-8")
        try:
            _wait_until_healthy(server, where)
            return server
        except BackendError:
            _end(server.pid)
            where.record.unlink(missing_ok=True)
            if "address already in use" not in _log_tail(where):
                raise
            start = port + 1
    raise _not_started(where, "no port stayed free")


def _launch(where: Place, port: int) -> Server:
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
    return Server(pid=process.pid, process_start=_process_start(process.pid) or 0.0, port=port)


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


def _wait_until_healthy(server: Server, where: Place) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(server):
        if not _is_alive(server):
            raise _not_started(where, "it ended by itself")
        if time.monotonic() > deadline:
            raise _not_started(where, f"it did not answer within {START_SECONDS} s")
        time.sleep(0.1)


def _answers(server: Server) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: no proxy
    try:
        with opener.open(f"{server.url}/health", timeout=HEALTH_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


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


def _free_port(start: int) -> int:
    for port in range(start, start + NUM_PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
                return port
            except OSError:
                continue
    raise BackendError(
        id="tracking-server-no-port",
        what=f"no free port between {start} and {start + NUM_PORTS - 1} on {HOST}",
        why="the MLflow server needs one",
        fix="end what listens there, or name a server: export MLFLOW_TRACKING_URI=http://…",
    )


def _process_start(pid: int) -> float | None:
    import psutil  # 20 ms, and only for these commands

    try:
        process = psutil.Process(pid)
        # one that has ended and whose parent has not asked yet is not alive
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def _is_alive(server: Server) -> bool:
    start = _process_start(server.pid)
    return start is not None and abs(start - server.process_start) < 1.0


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


@contextmanager
def _locked(where: Place) -> Iterator[None]:
    """Let one `up` or `down` at a time through."""
    with where.lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
