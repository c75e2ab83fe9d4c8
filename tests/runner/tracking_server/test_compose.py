"""The MLflow server as a container: found, hardened, and a run recorded in it read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner import cli
from runner.container.engine import connect
from runner.container.image import SOURCE_ROOT
from runner.errors import BackendError
from runner.record.mlflow_run import set_environment
from runner.record.tracking import sync, target_of
from runner.tracking_server import compose
from runner.tracking_server import server as tracking_server
from runner.tracking_server.place import COMPOSE, Server
from tests.runner.record.test_tracking import new_run, write_steps

TOKEN = "hf_" + "PlantedTokenPlantedTokenPlanted03"


def write_program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("docker", "own", "found"),
    [
        ("echo 2.29.7", None, ["docker", "compose"]),
        ("exit 1", "echo v5.6.1", ["docker-compose"]),
        (None, "echo 2.3.0", ["docker-compose"]),
    ],
)
def test_the_plugin_is_taken_before_the_program(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    docker: str | None,
    own: str | None,
    found: list[str],
) -> None:
    """`docker compose` where the client has it, else `docker-compose`."""
    (tmp_path / "bin").mkdir()
    for name, script in (("docker", docker), ("docker-compose", own)):
        if script is not None:
            write_program(tmp_path / "bin", name, script)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert compose.find_compose() == found


def test_the_one_of_our_lock_serves_where_the_machine_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program lies beside the Python that runs, which need not be on the PATH."""
    write_program(tmp_path / "venv", "docker-compose", "echo 5.6.1")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "venv/python"))
    assert compose.find_compose() == [str(tmp_path / "venv/docker-compose")]


def test_compose_of_the_first_version_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compose 1 does not read our file: it counts as absent, and the error says what to install."""
    write_program(tmp_path / "bin", "docker-compose", "echo 1.29.2")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(BackendError, match="tracking-no-compose") as caught:
        compose.find_compose()
    assert "docker-compose-plugin" in caught.value.fix


def test_each_runs_folder_has_its_own_project(tmp_path: Path) -> None:
    """The clone's runs share the project of `docker compose up`; other folders are kept apart."""
    assert compose.project(SOURCE_ROOT / "runs") == "trainbox"
    names = {compose.project(tmp_path), compose.project(tmp_path / "other")}
    assert len(names) == 2 and all(name.startswith("trainbox-") for name in names)


def test_without_docker_no_container_is_looked_for(tmp_path: Path) -> None:
    """A runs folder that never used one asks no engine."""
    assert compose.status(tmp_path) is None
    assert compose.end(tmp_path) is None


# --- with an engine (`make test-docker`) ----------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runs folder whose server is a container; container and volume are gone in the end."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        programs = Path(sys.executable).parent  # where the locked Compose lies
        monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{programs}")
        monkeypatch.setenv("TRAINBOX_RUNS", str(folder))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        monkeypatch.delenv("TRAINBOX_MLFLOW_SERVER", raising=False)
        yield folder
        tracking_server.down(folder)
        client = connect()
        client.remove_volume(f"{compose.project(folder)}_data")
        client.close()


@pytest.fixture
def server(runs: Path) -> Server:
    """The running server."""
    return tracking_server.up(runs, say=lambda line: print(line, file=sys.__stderr__))


def container(runs: Path) -> dict[str, Any]:
    client = connect()
    facts: dict[str, Any] = client.inspect_container(f"{compose.project(runs)}-mlflow-1")
    client.close()
    return facts


def status_of(url: str, host: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers={"Host": host}), timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.docker
def test_the_first_server_here_is_a_container(
    runs: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """`auto` takes it where an engine answers; a second `up` says where it runs."""
    assert server.kind == COMPOSE
    assert cli.main(["up", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["url"], facts["server"], facts["was_running"]) == (server.url, COMPOSE, True)


@pytest.mark.docker
def test_the_container_has_no_rights_and_knows_no_secret(runs: Path, server: Server) -> None:
    """Loopback port, read-only, no capability, no root, one volume; no token of the caller."""
    facts = container(runs)
    host = facts["HostConfig"]
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and host["Init"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"] and not host["Privileged"]
    assert [mount["Destination"] for mount in facts["Mounts"]] == ["/data"]
    (published,) = facts["NetworkSettings"]["Ports"]["5000/tcp"]
    assert published["HostIp"] == "127.0.0.1"
    assert facts["Config"]["User"] == "mlflow" and TOKEN not in json.dumps(facts)


@pytest.mark.docker
def test_only_its_own_host_names_are_answered(server: Server) -> None:
    """The service's name works inside the project; a page that rebinds its name gets 403."""
    assert status_of(server.url, "mlflow:5000") == 200
    assert status_of(server.url, "evil.example") == 403


@pytest.mark.docker
def test_a_run_and_its_artifact_are_read_back(runs: Path, server: Server) -> None:
    """What `trainbox sync` sends is there over the MLflow API, also after `down` and `up`."""
    run, _ = new_run(runs)
    write_steps(run, range(1, 3), end="finished")
    set_environment()
    plan = json.loads(run.plan.read_text(encoding="utf-8"))
    assert sync(run, target_of(plan, server.url, server.kind)).status == "complete"
    assert tracking_server.down(runs) == server and tracking_server.status(runs) is None
    again = tracking_server.up(runs)

    import mlflow

    client = mlflow.MlflowClient(tracking_uri=again.url)
    (found,) = client.search_runs(
        [one.experiment_id for one in client.search_experiments()],
        f"tags.`trainbox.run_id` = '{run.run_id}'",
    )
    assert (found.info.status, found.data.metrics["train/loss"]) == ("FINISHED", 1.5)
    journal_there = client.download_artifacts(found.info.run_id, "journal.jsonl", str(runs))
    assert Path(journal_there).read_bytes() == run.journal.read_bytes()


@pytest.mark.docker
def test_by_hand_is_the_same_server(runs: Path, server: Server) -> None:
    """`docker compose up` in the same project finds the container running and starts no other."""
    before = container(runs)["Id"]
    image = container(runs)["Config"]["Image"]
    port = server.url.rpartition(":")[2]
    command = [*compose.find_compose(), "--project-name", compose.project(runs)]
    subprocess.run(
        [*command, "--file", str(SOURCE_ROOT / "compose.yaml"), "up", "--detach"],
        env=os.environ | {"TRAINBOX_MLFLOW_IMAGE": image, "TRAINBOX_MLFLOW_PORT": port},
        check=True,
        capture_output=True,
    )
    assert container(runs)["Id"] == before


@pytest.mark.docker
def test_a_broken_database_is_said_with_its_reason(
    tmp_path: Path, runs: Path, server: Server
) -> None:
    """A server that ends by itself: the error holds its last words and the command for the log."""
    project = compose.project(tmp_path)
    client = connect()
    image = container(runs)["Config"]["Image"]
    volume = {f"{project}_data": {"bind": "/data", "mode": "rw"}}
    host = client.create_host_config(binds=volume)
    spoil = ["sh", "-c", "yes not a database | head -c 9000 > /data/mlflow.db"]
    helper = client.create_container(image, spoil, host_config=host)
    client.start(helper)
    client.wait(helper)
    client.remove_container(helper)
    try:
        with pytest.raises(BackendError, match="tracking-container-not-started") as caught:
            tracking_server.up(tmp_path, wanted=COMPOSE)
        assert "not a database" in caught.value.what and "docker logs" in caught.value.fix
        assert not container(tmp_path)["State"]["Running"]  # nor is it started again and again
    finally:
        command = [*compose.find_compose(), "--project-name", project, "down"]
        subprocess.run(command, check=True, capture_output=True)
        client.remove_volume(f"{project}_data")
        client.close()
