"""The MLflow server as a process: one, on loopback, found again, and gone when it is ended."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from runner import cli
from runner.errors import BackendError
from runner.tracking_server import server as tracking_server
from runner.tracking_server.local import Process
from runner.tracking_server.place import Server, place


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for runs; whatever server stands there is ended in the end."""
    folder = tmp_path_factory.mktemp("runs")
    yield folder
    tracking_server.down(folder)


@pytest.fixture(scope="module")
def servers(runs: Path) -> list[Server]:
    """What three `up` at the same time return."""
    os.environ["HF_TOKEN"] = "hf_planted"
    try:
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(tracking_server.up, [runs] * 3))
    finally:
        del os.environ["HF_TOKEN"]


def tree(server: Server) -> list[psutil.Process]:
    assert server.pid is not None
    leader = psutil.Process(server.pid)
    return [leader, *leader.children(recursive=True)]


def test_several_ups_at_once_give_one_server(servers: list[Server], runs: Path) -> None:
    """Two runs that start together do not start two servers on one database."""
    assert len(set(servers)) == 1
    assert tracking_server.status(runs) == servers[0]


def test_it_listens_on_loopback_alone(servers: list[Server]) -> None:
    """MLflow has no passwords of its own: nobody outside this machine may reach it."""
    listening = {
        connection.laddr.ip
        for process in tree(servers[0])
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_it_is_light_and_knows_no_secret(servers: list[Server]) -> None:
    """No job runners, no telemetry, and no token of the user in a process that stays."""
    processes = tree(servers[0])
    assert len(processes) == 2
    for process in processes:
        variables = process.environ()
        assert "HF_TOKEN" not in variables
        assert variables["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_it_outlives_the_terminal(servers: list[Server]) -> None:
    """It leads a session of its own: closing the terminal does not end it."""
    assert servers[0].pid is not None and os.getsid(servers[0].pid) == servers[0].pid


def test_up_again_says_where_it_runs(
    servers: list[Server],
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`trainbox up` on a running server starts nothing."""
    monkeypatch.setenv("TRAINBOX_RUNS", str(runs))
    assert cli.main(["up", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["url"], facts["was_running"]) == (servers[0].url, True)
    assert (facts["server"], facts["earlier_data"]) == ("local", None)
    assert (Path(facts["data"]) / "mlflow.db").is_file()


def test_a_record_of_another_process_is_not_believed(
    servers: list[Server], runs: Path, tmp_path: Path
) -> None:
    """A pid that was given to somebody else since is not the server."""
    recorded = Process(**json.loads(place(runs).record.read_text(encoding="utf-8")))
    stale = dataclasses.replace(recorded, process_start=recorded.process_start - 100)
    where = place(tmp_path)
    where.folder.mkdir()
    where.record.write_text(json.dumps(dataclasses.asdict(stale)), encoding="utf-8")
    assert tracking_server.status(tmp_path) is None
    assert tracking_server.down(tmp_path) is None
    assert not where.record.exists()
    assert psutil.pid_exists(recorded.pid)


def test_down_ends_every_process_and_keeps_the_data(
    servers: list[Server],
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After `trainbox down` nothing of the server runs; the database stays."""
    processes = tree(servers[0])
    monkeypatch.setenv("TRAINBOX_RUNS", str(runs))
    assert cli.main(["down"]) == 0
    assert servers[0].url in capsys.readouterr().out
    assert not any(process.is_running() for process in processes)
    assert tracking_server.status(runs) is None
    assert place(runs).database.is_file()
    assert cli.main(["down", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["was_running"] is False


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """A database that is not one: an error with the server's last line and the log's place."""
    where = place(tmp_path)
    where.folder.mkdir()
    where.database.write_bytes(b"this is not a database, but long enough to be read as one" * 50)
    with pytest.raises(BackendError) as caught:
        tracking_server.up(tmp_path)
    assert caught.value.id == "tracking-server-not-started"
    assert "not a database" in caught.value.what
    assert tracking_server.status(tmp_path) is None


def test_servers_of_two_folders_that_start_together_get_a_port_each(
    tmp_path: Path,
) -> None:
    """The port is bound seconds after it was chosen: who comes second takes the next one."""
    folders = [tmp_path / "one", tmp_path / "two"]
    try:
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(tracking_server.up, folders)
        assert first.url != second.url and first.pid != second.pid
        assert tracking_server.status(folders[1]) == second
    finally:
        for folder in folders:
            tracking_server.down(folder)


def test_the_thin_environment_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mlflow-skinny has no server: said in one line with the fix, before anything is started."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "flask" else name)
    with pytest.raises(BackendError) as caught:
        tracking_server.up(tmp_path)
    assert caught.value.id == "tracking-server-not-installed"
