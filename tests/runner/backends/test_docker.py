"""The docker backend, as far as it can be shown without an engine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from runner.backends.docker import (
    container_environment,
    exit_code_of,
    gpu_request,
    inputs_of,
    start_error,
    variant_of,
)
from runner.plan import Plan
from runner.record.layout import RunDir
from tests.runner.plans import tiny_plan


def on_cuda(plan: Plan) -> Plan:
    training = dataclasses.replace(plan.training, device="cuda")
    return dataclasses.replace(plan, training=training)


@pytest.mark.parametrize(
    ("status", "expected"), [(0, 0), (1, 1), (3, 3), (75, 75), (130, 130), (137, -9), (139, -11)]
)
def test_status_of_a_container_becomes_an_exit_code(status: int, expected: int) -> None:
    """A death by a signal is negative, as on the host; our own exit codes stay."""
    assert exit_code_of(status) == expected


def test_no_variable_of_the_caller_reaches_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a token nor a path, nor a process id that means another process inside."""
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    environment = container_environment({"TRAINBOX_ATTEMPT": "2", "TRAINBOX_SUPERVISOR_PID": "123"})
    assert environment["TRAINBOX_ATTEMPT"] == "2" and environment["HOME"] == "/tmp"
    assert "TRAINBOX_SUPERVISOR_PID" not in environment
    assert "hf_planted" not in environment.values() and "PATH" not in environment


def test_links_of_the_hub_cache_bring_their_targets(tmp_path: Path) -> None:
    """A snapshot of links is mounted with the folder its files lie in."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots/abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "1").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/1")
    plan = tiny_plan()
    model = dataclasses.replace(plan.model, folder=str(snapshot))
    data = str(Path(plan.train_data.path).parent)
    found = inputs_of(dataclasses.replace(plan, model=model))
    assert found == {str(snapshot), str(blobs), data}


def test_a_gpu_is_asked_for_where_the_plan_counts_on_one() -> None:
    """A plan for the CPU takes the CPU image and no card, one for a card the CUDA image and one."""
    plan = tiny_plan()
    assert variant_of(plan) == "cpu" and gpu_request(plan) is None
    request = gpu_request(on_cuda(plan))
    assert variant_of(on_cuda(plan)) == "cu130" and request is not None
    assert request["Driver"] == "nvidia" and request["Capabilities"] == [["gpu"]]


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ('could not select device driver "nvidia" with capabilities: [[gpu]]', "docker-no-gpu"),
        ("invalid mount config: bind source path does not exist: /x", "docker-folder-not-seen"),
        ("OCI runtime create failed: no space left", "docker-start-failed"),
    ],
)
def test_a_container_that_does_not_start_says_why(text: str, id: str, tmp_path: Path) -> None:
    """What the engine says becomes an error with the fix for it."""
    error = start_error(text, RunDir(tmp_path))
    assert error.id == id and text in error.what
