"""Fetching in a container: it alone has network and token, and what it brings is the caller's."""

from __future__ import annotations

import importlib.util
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner import fetch
from runner.cli import main
from runner.container.engine import connect
from runner.container.tool import Ended
from runner.errors import BackendError, DataError, TrainboxError, Where
from runner.load import load_job
from tests.runner.base_model.hub_stand_in import COMMIT, Hub, serve
from tests.runner.base_model.test_hub import SMALL
from tests.runner.base_model.tiny import safetensors_bytes
from tests.runner.commands.test_data import CONFIG
from tests.runner.container.test_tool import tools_of
from tests.runner.data.folders import write_folder

TOKEN = "hf_" + "PlantedTokenPlantedTokenPlanted04"
JOB = """\
version: 1
name: tiny
method: lora
model: {name_or_path: ./model, dtype: float32}
data:
  train:
    - path: org/health
      format: prompt_completion
      columns: {prompt: question, completion: answer}
  max_length: 64
"""
ROWS = [{"question": f"Question {i}?", "answer": f"Answer {i}."} for i in range(12)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job on a local model and a data set of the hub, in the working directory; empty caches."""
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("TRAINBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    model = write_folder(tmp_path / "model", "chatml")
    (model / "config.json").write_text(json.dumps(CONFIG))
    (model / "model.safetensors").write_bytes(safetensors_bytes())
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "private.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def data_set() -> Hub:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    return Hub(files={"train.jsonl": lines}, name="org/health", kind="datasets")


# --- without an engine ---------------------------------------------------------------------------


def bring(folder: Path, ended: Ended, monkeypatch: pytest.MonkeyPatch) -> tuple[TrainboxError, Any]:
    """Fetch with a container that ends as given; return the error and what it was handed."""
    handed: dict[str, Any] = {}

    def run_tool(module: str, private: str, **settings: Any) -> Ended:
        files = {path.name: path for path in Path(private).iterdir()}
        handed.update(settings, module=module, files={n: p.read_text() for n, p in files.items()})
        handed["modes"] = {name: stat.S_IMODE(path.stat().st_mode) for name, path in files.items()}
        return ended

    monkeypatch.setattr("runner.container.tool.run_tool", run_tool)
    loaded = load_job(folder / "job.yaml", [])
    with pytest.raises(TrainboxError) as caught:
        fetch.fetch_in_container(loaded.job, refresh=False, where=loaded.where, say=print)
    return caught.value, handed


def test_the_token_is_a_file_that_is_gone_afterwards(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the owner's eyes alone, in no variable, and removed whatever happens."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pw@proxy.example")
    error, handed = bring(folder, Ended(exit_code=137, out="", last_line=""), monkeypatch)
    assert handed["files"]["token"] == TOKEN and handed["modes"]["token"] == 0o400
    assert handed["environment"]["HF_TOKEN_PATH"].endswith("/token")
    assert TOKEN not in str(handed["environment"]) and "pw@" not in str(handed["environment"])
    assert "pw@proxy" in handed["files"]["request.json"]
    assert [path.name for path in (folder / "cache/fetch").iterdir()] == [".lock"]
    assert error.id == "fetch-container-failed" and "137" in error.what


def test_a_job_without_secrets_hands_out_no_token(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`secrets: []` keeps the token of this machine away from the container."""
    (folder / "job.yaml").write_text(JOB + "secrets: []\n")
    _, handed = bring(folder, Ended(exit_code=1, out="", last_line="no"), monkeypatch)
    assert "token" not in handed["files"] and "HF_TOKEN_PATH" not in handed["environment"]


def test_a_fault_inside_is_the_same_error_outside(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its class, id and words come through, and its place is the line of the job."""
    fault = {"id": "data-hub-gated", "what": "w", "where": "x", "why": "y", "fix": "f"}
    said = {"kind": "DataError", "fault": fault, "key": "data.train[0].path"}
    ended = Ended(exit_code=2, out=json.dumps(said), last_line="")
    error, _ = bring(folder, ended, monkeypatch)
    assert isinstance(error, DataError) and (error.id, error.fix) == ("data-hub-gated", "f")
    assert isinstance(error.where, Where) and str(error.where).endswith("job.yaml:7")


def test_the_inner_side_prints_a_fault_as_json(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a container says is one line that the caller can read, with the job's key."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    source = {"key": "data.train[0].path", "source": {"path": "org/health"}}
    request = {"model": None, "data": [source], "refresh": True, "environment": {}}
    (folder / "request.json").write_text(json.dumps(request))
    assert fetch.main(folder) == 2
    said = json.loads(capsys.readouterr().out)
    assert (said["kind"], said["fault"]["id"]) == ("DataError", "data-hub-not-reached")
    assert said["key"] == "data.train[0].path"


def test_what_is_brought_needs_no_container(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `datasets` nothing is started for a job whose data is local, in the cache, or off."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("runner.container.tool.run_tool", lambda *_, **__: pytest.fail("started"))
    loaded = load_job(folder / "job.yaml", [])
    fetch.bring_hub_data(loaded.job, where=loaded.where, offline=True, say=print)
    local = load_job(folder / "job.yaml", ["data.train[0].path=private.jsonl"])
    fetch.bring_hub_data(local.job, where=local.where, offline=False, say=print)


# --- with an engine (`make test-docker`) ----------------------------------------------------------


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of this machine as containers see it."""
    with connect() as client:
        bridge = client.inspect_network("bridge")["IPAM"]["Config"][0]  # type: ignore[no-untyped-call]
    for name in fetch.PASSED_ON:
        monkeypatch.delenv(name, raising=False)
    yield bridge.get("Gateway") or bridge["Subnet"].rsplit(".", 1)[0] + ".1"


def inspected(hub: Hub, folder: Path) -> list[dict[str, Any]]:
    """Have what the engine says of the fetching container noted at each request to the hub."""
    seen: list[dict[str, Any]] = []

    def look() -> None:
        with connect() as client:
            seen.extend(client.inspect_container(tool["Id"]) for tool in tools_of(folder))

    hub.on_request = look
    return seen


@pytest.mark.docker
def test_data_is_fetched_with_the_token_and_nothing_of_the_user(
    folder: Path, gateway: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hub sees the token, `docker inspect` does not; the job's folder is not mounted; what
    came belongs to the caller and is planned with offline."""
    with serve(data_set(), gateway) as hub:
        seen = inspected(hub, folder)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert main(["fetch", "job.yaml", "--backend", "docker", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["data"][0]["revision"] == COMMIT
    assert hub.authorizations == {f"Bearer {TOKEN}"} and hub.downloads() == ["train.jsonl"]
    assert seen and TOKEN not in json.dumps(seen)
    host = seen[0]["HostConfig"]
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and host["Init"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"] and host["PidsLimit"]
    cache, hf = folder / "cache", folder / "hf"
    mounted = [Path(mount["Source"]) for mount in seen[0]["Mounts"]]
    assert all(path.is_relative_to(cache) or path.is_relative_to(hf) for path in mounted)
    owners = {path.lstat().st_uid for root in (cache, hf) for path in root.rglob("*")}
    assert owners == {os.getuid()}
    assert not list(cache.rglob("token"))
    assert tools_of(folder) == []
    assert main(["plan", "job.yaml", "--offline", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["train_data"]["num_samples"] == len(ROWS)


@pytest.mark.docker
def test_an_environment_without_datasets_plans_on_hub_data(
    folder: Path, gateway: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`plan` and `train` bring by a container what they cannot bring themselves."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "datasets" else find_spec(name)
    )
    with serve(data_set(), gateway) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert main(["plan", "job.yaml", "--json"]) == 0
    captured = capsys.readouterr()
    assert "no package `datasets` in this environment" in captured.err
    assert json.loads(captured.out)["train_data"]["num_samples"] == len(ROWS)


@pytest.mark.docker
def test_a_model_is_fetched_into_the_hubs_own_cache(
    folder: Path, gateway: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights by hash, at the commit; then a gate that closes is an error that names its key."""
    weights = {"model.safetensors": safetensors_bytes()}
    arguments = ["fetch", "job.yaml", "--backend", "docker", "--json"]
    arguments += [
        "--set",
        "model.name_or_path=org/tiny",
        "--set",
        "data.train[0].path=private.jsonl",
    ]
    with serve(Hub(files=SMALL | weights), gateway) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert main(arguments) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["model"]["revision"] == COMMIT
        snapshot = folder / "hf/hub/models--org--tiny/snapshots" / COMMIT
        assert (snapshot / "model.safetensors").read_bytes() == safetensors_bytes()
        hub.refuse = (403, "GatedRepo")
        assert main([*arguments, "--refresh"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["id"] == "model-gated" and "model.name_or_path" in error["where"]


@pytest.mark.docker
def test_without_a_network_the_container_says_so(
    folder: Path, gateway: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No hub at the address: the error of the host, with the line of the job."""
    monkeypatch.setenv("HF_ENDPOINT", f"http://{gateway}:9")
    assert main(["fetch", "job.yaml", "--backend", "docker"]) == 2
    said = capsys.readouterr().err
    assert "error[data-hub-not-reached]" in said and "job.yaml:7" in said


def test_backend_errors_keep_their_own_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is not the fault of a line of the job."""
    fault = {"id": "cache-disk-full", "what": "w", "where": "/cache", "why": "y", "fix": "f"}
    ended = Ended(
        exit_code=1, out=json.dumps({"kind": "BackendError", "fault": fault, "key": None}),
        last_line="",
    )  # fmt: skip
    error, _ = bring(folder, ended, monkeypatch)
    assert isinstance(error, BackendError) and error.where == "/cache"
