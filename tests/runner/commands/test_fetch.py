"""`trainbox fetch`: data sets of the hub come into the cache and serve without a network."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.data.hub import HubData, read_hub
from tests.runner.base_model.hub_stand_in import COMMIT, Hub, serve
from tests.runner.base_model.tiny import safetensors_bytes
from tests.runner.commands.test_data import CONFIG
from tests.runner.data.folders import write_folder

ROOT = Path(__file__).parents[3]
JOB = """\
version: 1
name: tiny
method: lora
model: {name_or_path: ./model, dtype: float32}
data:
  train:
    - path: org/health
      split: train[:5]
      format: prompt_completion
      columns: {prompt: question, completion: answer}
  max_length: 64
"""
# `datasets` takes the hub's address when it is imported, and costs seconds: one process for all.
COMMANDS = """\
import contextlib, io, json, sys
from runner.cli import main
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def facts(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        facts: dict[str, Any] = json.loads(self.out)
        return facts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job on a tiny local model and a data set of the hub."""
    model = write_folder(tmp_path / "model", "chatml")
    (model / "config.json").write_text(json.dumps(CONFIG))
    (model / "model.safetensors").write_bytes(safetensors_bytes())
    (tmp_path / "job.yaml").write_text(JOB)
    return tmp_path


@pytest.fixture
def hub() -> Hub:
    """A data set of one JSON Lines file."""
    rows = [{"question": f"Question {i}?", "answer": f"Answer {i}."} for i in range(12)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return Hub(files={"train.jsonl": lines}, name="org/health", kind="datasets")


def trainbox(folder: Path, address: str, *commands: list[str]) -> list[Done]:
    """Run commands one after the other in one process."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRAIN"))
    }
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:runner", "-c", COMMANDS, json.dumps(commands)],
        cwd=folder,
        env={
            **environment,
            "PYTHONPATH": str(ROOT),
            "HF_ENDPOINT": address,
            "HF_HOME": str(folder / "hf"),
            "TRAINBOX_CACHE": str(folder / "cache"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Done(*json.loads(line)) for line in done.stdout.splitlines()]


def test_hub_data_is_fetched_once_and_used_offline(folder: Path, hub: Hub) -> None:
    """Commit, split and columns are kept; the plan then needs neither network nor `datasets`' own
    cache, and is the same as with it."""
    with serve(hub):
        fetched, planned, missing, unknown = trainbox(
            folder,
            hub.url,
            ["fetch", "job.yaml", "--json"],
            ["plan", "job.yaml", "--json"],
            ["plan", "job.yaml", "--set", "data.train[0].split=test"],
            ["plan", "job.yaml", "--set", "data.train[0].path=org/other"],
        )
    [data] = fetched.facts()["data"]
    assert (data["name"], data["split"], data["revision"]) == ("org/health", "train[:5]", COMMIT)
    assert "downloading the data set org/health" in fetched.err
    assert planned.facts()["train_data"]["num_samples"] == 5
    assert (missing.code, "error[data-hub-split]" in missing.err) == (2, True)
    assert "job.yaml:7" in missing.err and "train" in missing.err.split("fix:")[1]
    assert (unknown.code, "error[data-hub-not-found]" in unknown.err) == (2, True)
    assert hub.downloads().count("train.jsonl") == 1

    for entry in (folder / "cache" / "data").iterdir():  # so that the rows are read anew
        (entry / "entry.json").unlink()
    [offline] = trainbox(folder, "http://127.0.0.1:9", ["plan", "job.yaml", "--offline", "--json"])
    assert offline.facts()["train_data"] == planned.facts()["train_data"]


def test_parquet_on_the_hub_is_the_same_data(folder: Path, hub: Hub) -> None:
    """The form most data sets of the hub have: nested values arrive as they are."""
    import pyarrow
    import pyarrow.parquet

    conversations = [
        [{"role": "user", "content": f"Question {i}?"}, {"role": "assistant", "content": "So."}]
        for i in range(12)
    ]
    buffer = io.BytesIO()
    table = pyarrow.table({"messages": conversations, "number": list(range(12))})
    pyarrow.parquet.write_table(table, buffer)
    hub.files = {"data/train-00000-of-00001.parquet": buffer.getvalue()}
    override = ["--set", "data.train[0].format=messages", "--set", "data.train[0].columns=null"]
    with serve(hub):
        fetched, planned = trainbox(
            folder,
            hub.url,
            ["fetch", "job.yaml", "--json", *override],
            ["plan", "job.yaml", "--offline", "--json", *override],
        )
    [data] = fetched.facts()["data"]
    assert planned.facts()["train_data"]["num_samples"] == 5
    rows = list(read_hub(HubData(commit=COMMIT, folder=Path(data["folder"]))))
    assert rows == [{"messages": conversations[i], "number": i} for i in range(5)]


def test_data_that_moves_on_the_hub_stays_until_refreshed(folder: Path, hub: Hub) -> None:
    """A branch is resolved once; --refresh takes its newest commit."""
    with serve(hub):
        trainbox(folder, hub.url, ["fetch", "job.yaml"])
        hub.commit = COMMIT[::-1]
        again, refreshed = trainbox(
            folder,
            hub.url,
            ["fetch", "job.yaml", "--json"],
            ["fetch", "job.yaml", "--refresh", "--json"],
        )
    assert again.facts()["data"][0]["revision"] == COMMIT
    assert refreshed.facts()["data"][0]["revision"] == COMMIT[::-1]


def test_fetch_offline_without_a_cache_is_refused(folder: Path) -> None:
    """What is missing, at its line of the job, and what brings it."""
    [done] = trainbox(folder, "http://127.0.0.1:9", ["fetch", "job.yaml", "--offline"])
    assert (done.code, "error[data-hub-not-cached]" in done.err) == (2, True)
    assert "job.yaml:7" in done.err


def test_files_of_this_machine_are_not_fetched(folder: Path) -> None:
    """A job on local files brings its model alone."""
    (folder / "rows.jsonl").write_text('{"question": "Why?", "answer": "So."}\n')
    override = ["--set", "data.train[0].path=rows.jsonl", "--set", "data.train[0].split=null"]
    [done] = trainbox(folder, "http://127.0.0.1:9", ["fetch", "job.yaml", "--json", *override])
    assert done.facts()["data"] == []
