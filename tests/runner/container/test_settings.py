"""What a training container is given, as far as it can be shown without an engine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from runner.container.settings import container_environment, inputs_of, kept_kernels
from tests.runner.plans import tiny_plan


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


def test_compiled_layers_outlive_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that compiles its layers finds them again; no other leaves programs behind."""
    monkeypatch.setenv("TRAINBOX_CACHE", "/cache")
    plan = tiny_plan()
    assert kept_kernels(plan) is None
    levers = dataclasses.replace(plan.training.levers, compile=True)
    plan = dataclasses.replace(plan, training=dataclasses.replace(plan.training, levers=levers))
    assert kept_kernels(plan) == Path("/cache/kernels")
