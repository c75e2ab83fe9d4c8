"""What tests with a real engine share: waiting, jobs, and asking the engine."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner.container.engine import connect
from runner.container.process import ContainerProcess
from runner.record.journal import read_events
from runner.record.layout import RunDir

ROOT = Path(__file__).parents[2]
TOKEN = "hf_" + "PlantedTokenPlantedTokenPlanted02"
SENTENCE = "the quick heron planted this sentence in row seven"
START_SECONDS = 300.0
Launch = Callable[..., tuple[RunDir, ContainerProcess]]


def wait(process: ContainerProcess, seconds: float = START_SECONDS) -> int:
    """Wait for the end of a container and return its exit code."""
    code: int = wait_until(process.poll, seconds)
    return code


def wait_until(question: Callable[[], Any], seconds: float = START_SECONDS) -> Any:
    """Ask until the answer is not None."""
    deadline = time.monotonic() + seconds
    while (answer := question()) is None:
        assert time.monotonic() < deadline, "no answer in time"
        time.sleep(0.1)
    return answer


def first_step(run: RunDir, attempt: int = 1) -> Callable[[], object]:
    """Return a question for `wait_until`: has an attempt of the run done a step?"""
    return lambda: next(
        (
            event
            for event in read_events(run.journal)
            if event["event"] == "step" and event["attempt"] == attempt
        ),
        None,
    )


def container_of(run: RunDir) -> str:
    return f"trainbox-{run.run_id}"


def state_of(run: RunDir) -> dict[str, Any]:
    """Return the engine's State of a run's container."""
    with connect() as client:
        state: dict[str, Any] = client.inspect_container(container_of(run))["State"]
    return state


def names_of_containers() -> set[str]:
    with connect() as client:
        found = client.containers(all=True)
    return {name.lstrip("/") for container in found for name in container["Names"]}


def in_container(client: Any, run: RunDir, command: list[str]) -> str:
    return execute(client, container_of(run), command)


def execute(client: Any, container: str, command: list[str]) -> str:
    """Run a command in a running container and return what it prints."""
    return str(client.exec_start(client.exec_create(container, command)["Id"]).decode())


def write_job(folder: Path, model: Path, *, max_steps: int, tracking: str = "none") -> None:
    """Write job.json, its rows and its model into a folder.

    Args:
        tracking: where MLflow stands, such as sqlite:///….
    """
    shutil.copytree(model, folder / "model")
    rows = [
        {"messages": [{"role": "user", "content": f"question {number}"},
                      {"role": "assistant", "content": f"answer {number} {SENTENCE}"}]}
        for number in range(8)
    ]  # fmt: skip
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = {
        "version": 1, "name": "contained", "method": "lora",
        "model": {"name_or_path": str(folder / "model"), "dtype": "float32"},
        "data": {"train": [{"path": "rows.jsonl"}], "eval": [{"path": "rows.jsonl"}],
                 "max_length": 256},
        "train": {"max_steps": max_steps, "effective_batch_size": 2},
        "checkpoint": {"save_steps": 1_000_000},
        "tracking": {"mlflow": {"uri": tracking}},
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job))
