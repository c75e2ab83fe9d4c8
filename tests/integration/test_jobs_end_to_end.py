"""Every shipped job, at tiny scale, through the same command, plan, supervisor and training code.

Only the model is exchanged (0.1 M random parameters), the number of steps cut, and the training
process forked instead of started; the data, the job files and everything else are as shipped.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.backends.choose import BACKENDS
from runner.cli import main
from runner.record.delivery import read_tracking
from runner.record.journal import read_events
from runner.record.layout import RunDir
from runner.record.state import list_runs, read_state
from runner.tracking_server import server as tracking_server
from runner.tracking_server.place import place as server_place
from tests.forked_trainer import ForkedTrainer
from tests.integration.containers import wait_until

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
JOBS = sorted(path.name for path in (ROOT / "jobs").glob("*.yaml"))
SENTENCE = "the quick heron planted this sentence in row seven"
TOKEN = "hf_" + "PlantedTokenPlantedTokenPlanted01"


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, with room for whole chats of single characters."""
    folder = tmp_path_factory.mktemp("long") / "tiny"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8192}))
    return folder


@pytest.fixture(autouse=True)
def place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trainer: ForkedTrainer
) -> Iterator[Path]:
    """A working directory like a clone, runs and cache of its own, and the forked backend."""
    monkeypatch.setitem(BACKENDS, "forked", lambda: trainer)
    monkeypatch.setenv("TRAINBOX_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("TRAINBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.chdir(ROOT)
    processors = os.sched_getaffinity(0)
    # One thread: on a busy machine two threads that wait for each other are forty times slower.
    os.sched_setaffinity(0, {min(processors)})
    yield tmp_path
    os.sched_setaffinity(0, processors)
    tracking_server.down(tmp_path / "runs")


def arguments(job: str, model: Path, *more: str) -> list[str]:
    """Return the command line of a job at tiny scale."""
    overrides = [
        f"model.name_or_path={model}", "data.max_length=4096", "train.num_train_epochs=null",
        "train.max_steps=3", "checkpoint.save_steps=1", "tracking.mlflow.uri=none", *more,
    ]  # fmt: skip
    return [
        "train", job, "--backend", "forked", "--offline",
        *(word for override in overrides for word in ("--set", override)),
    ]  # fmt: skip


def newest(place: Path) -> RunDir:
    return list_runs(place / "runs")[-1]


@pytest.mark.parametrize("job", JOBS)
def test_every_shipped_job_trains(job: str, model: Path, place: Path) -> None:
    """Each job of jobs/ runs to its end and leaves what its method promises."""
    assert main(arguments(f"jobs/{job}", model)) == 0
    run = newest(place)
    state = read_state(run)
    assert (state.status, state.step, state.attempts) == ("finished", 3, 1)
    assert state.loss_before is not None and state.loss_after is not None
    manifest = json.loads(run.manifest.read_text())
    assert manifest["schema_version"] == 1
    result = run.model if (run.model).exists() else run.adapter
    assert list(result.glob("*.safetensors"))


def test_the_same_command_goes_on_after_a_stop_and_then_starts_anew(
    model: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unfinished run is taken up by the same command, a finished one is not touched again."""
    command = arguments("jobs/demo.yaml", model)
    assert main(command) == 0
    first = newest(place)
    _make_unfinished(first)
    assert main(command) == 0
    assert [run.run_id for run in list_runs(place / "runs")] == [first.run_id]
    assert read_state(first).attempts == 2
    assert "resuming from step-2" in capsys.readouterr().err
    assert main(command) == 0
    assert len(list_runs(place / "runs")) == 2


def test_resume_refuses_another_job_unless_forced(
    model: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`resume` lists what has changed and goes on only with --force."""
    assert main(arguments("jobs/demo.yaml", model)) == 0
    run = newest(place)
    _make_unfinished(run)
    run.job.write_text(run.job.read_text().replace("  r: 16", "  r: 8"))
    assert main(["resume", "--backend", "forked"]) == 2
    assert "lora.r: 16 → 8" in capsys.readouterr().err


def test_nothing_of_data_or_token_stays_behind(model: Path, place: Path) -> None:
    """A sentence of a row and a token are in no file of the run and not in MLflow's database."""
    rows = [
        {"messages": [{"role": "user", "content": f"question {number}?"},
                      {"role": "assistant", "content": f"answer {number}. {SENTENCE}"}]}
        for number in range(12)
    ]  # fmt: skip
    data = place / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = arguments(
        "jobs/demo.yaml", model, f"data.train[0].path={data}", f"data.eval[0].path={data}",
        "tracking.mlflow.uri=auto",
    )  # fmt: skip
    assert main(command) == 0
    wait_until(lambda: read_tracking(newest(place)).is_complete or None)
    files = [path for path in (place / "runs").rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    for path in files:
        content = path.read_bytes()
        assert SENTENCE.encode() not in content, path
        assert TOKEN.encode() not in content, path


def test_mlflow_has_every_step_once_and_the_true_end(model: Path, place: Path) -> None:
    """The local server is started by itself and holds each point of the journal exactly once."""
    assert main(arguments("jobs/demo.yaml", model, "tracking.mlflow.uri=auto")) == 0
    wait_until(lambda: read_tracking(newest(place)).is_complete or None)  # main() does not wait
    losses = {
        event["step"]: event["loss"]
        for event in read_events(newest(place).journal)
        if event["event"] == "step"
    }
    with sqlite3.connect(server_place(place / "runs").database) as database:
        status = database.execute("select status from runs").fetchall()
        points = database.execute(
            "select step, value from metrics where key = 'train/loss' order by step"
        ).fetchall()
    database.close()
    assert status == [("FINISHED",)]
    assert points == sorted(losses.items())


def _make_unfinished(run: RunDir) -> None:
    """Put a finished run back to the moment after its second checkpoint."""
    events = read_events(run.journal)
    kept = [event for event in events if event.get("step", 0) <= 2 and event["event"] != "end"]
    run.journal.write_text("".join(json.dumps(event) + "\n" for event in kept))
    shutil.rmtree(run.checkpoints / "step-3")
    shutil.rmtree(run.adapter)
