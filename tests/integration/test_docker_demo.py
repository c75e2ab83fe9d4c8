"""The demo as a user starts it, in the image and on the host: shortened, all else as shipped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from runner.record.delivery import read_tracking
from runner.record.journal import read_events
from runner.record.layout import RunDir
from runner.record.state import list_runs, read_state
from tests.integration.containers import wait_until

pytestmark = pytest.mark.docker
ROOT = Path(__file__).parents[2]
STEPS = 2
TOKEN = "hf_" + "PlantedTokenPlantedTokenPlanted03"
SENTENCE = "the quick heron planted this sentence in row seven"
ROW = {
    "messages": [
        {"role": "user", "content": "Where does the heron stand?"},
        {"role": "assistant", "content": f"By the water: {SENTENCE}."},
    ]
}


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The demo of one backend, after its end."""

    folder: Path
    said: str

    @property
    def run(self) -> RunDir:
        (run,) = list_runs(self.folder / "runs")
        return run

    @property
    def losses(self) -> list[float]:
        return [e["loss"] for e in read_events(self.run.journal) if e["event"] in ("step", "eval")]


def train(folder: Path, backend: str) -> Demo:
    """Train the demo with a token in the environment and a sentence in the data."""
    data = folder / "train.jsonl"
    shipped = (ROOT / "data/medical-qa/train.jsonl").read_text(encoding="utf-8")
    data.write_text(json.dumps(ROW) + "\n" + shipped, encoding="utf-8")
    overrides = [
        f"train.max_steps={STEPS}", f"data.train[0].path={data}", "limits.grace_seconds=30",
    ]  # fmt: skip
    words = [word for override in overrides for word in ("--set", override)]
    said = trainbox(folder, "train", "jobs/demo.yaml", "--backend", backend, *words)
    demo = Demo(folder=folder, said=said)
    wait_until(lambda: read_tracking(demo.run).is_complete or None)  # the command does not wait
    return demo


def trainbox(folder: Path, *arguments: str) -> str:
    """Run a command with its runs in a folder; return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "runner", *arguments],
        cwd=ROOT,
        env={**os.environ, "TRAINBOX_RUNS": str(folder / "runs"), "HF_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def contained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo after its training in a container; its MLflow server runs."""
    folder = tmp_path_factory.mktemp("docker")
    yield train(folder, "docker")
    trainbox(folder, "down")


@pytest.fixture(scope="module")
def on_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo after its training on this host."""
    folder = tmp_path_factory.mktemp("host")
    yield train(folder, "host")
    trainbox(folder, "down")


def test_demo_has_the_losses_of_the_host(contained: Demo, on_host: Demo) -> None:
    """Steps and held-out losses agree to 1e-3, and the loss falls."""
    assert contained.losses == pytest.approx(on_host.losses, abs=1e-3)
    state = read_state(contained.run)
    assert (state.status, state.step) == ("finished", STEPS)
    assert state.loss_before is not None and state.loss_after is not None
    assert state.loss_after < state.loss_before


def test_demo_is_read_back_from_mlflow(contained: Demo) -> None:
    """The server has the run as finished, every step once, and the adapter."""
    tracking = read_tracking(contained.run)
    assert tracking.is_complete and tracking.url and tracking.mlflow_run_id
    client = MlflowClient(tracking_uri=tracking.url.partition("/#")[0])
    found: Run = client.get_run(tracking.mlflow_run_id)
    assert found.info.status == "FINISHED"
    steps = [point.step for point in client.get_metric_history(found.info.run_id, "train/loss")]
    assert steps == list(range(1, STEPS + 1))
    assert any("adapter" in file.path for file in client.list_artifacts(found.info.run_id))


def test_demo_belongs_to_its_caller(contained: Demo) -> None:
    """No file of the run is another user's, though the image has a user of its own."""
    owners = {path.lstat().st_uid for path in contained.run.path.rglob("*")}
    assert owners == {os.getuid()}


def test_token_and_sentence_are_in_no_file(contained: Demo) -> None:
    """Run, logs and MLflow's database hold neither the token nor a sentence of the data."""
    files = [path for path in (contained.folder / "runs").rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    for path in files:
        content = path.read_bytes()
        assert TOKEN.encode() not in content, path
        assert SENTENCE.encode() not in content, path
    assert TOKEN not in contained.said


def test_token_is_in_no_layer_of_the_image(contained: Demo, tmp_path: Path) -> None:
    """No file of any layer, and nothing of the image's history, holds a token of the builder."""
    image = json.loads(contained.run.manifest.read_text())["image"]["image_id"]
    saved = tmp_path / "image.tar"
    subprocess.run(["docker", "save", "--output", saved, image], check=True)
    num_layers = 0
    with tarfile.open(saved) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is None:
                continue
            num_layers += member.name.endswith(".tar")
            assert not contains(content, TOKEN.encode()), member.name
    assert num_layers >= 5


def contains(stream: object, wanted: bytes) -> bool:
    """Look for bytes in a stream of any size."""
    tail = b""
    while chunk := stream.read(1 << 24):  # type: ignore[attr-defined]
        if wanted in tail + chunk:
            return True
        tail = chunk[-len(wanted) :]
    return False
