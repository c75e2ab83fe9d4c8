"""Looking at a training run from outside, while it goes on and afterwards."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from runner.record.journal import Event, read_events
from runner.record.layout import RunDir

ADAPTER = "adapter_model.safetensors"


def events(run: RunDir, kind: str) -> list[Event]:
    """Return all journal lines of one kind."""
    return [event for event in read_events(run.journal) if event["event"] == kind]


def failure_of(run: RunDir) -> dict[str, Any]:
    """Return the fault the training process named."""
    failure: dict[str, Any] = json.loads(run.failure.read_text(encoding="utf-8"))
    return failure


def log_of(run: RunDir) -> str:
    return run.log.read_text(encoding="utf-8", errors="replace")


def result_sha256(run: RunDir) -> str:
    """Return the hash of the trained weights."""
    path = run.adapter / ADAPTER if run.adapter.exists() else run.model / "model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def curve(run: RunDir) -> list[tuple[int, float, float, float]]:
    """Return step, loss, gradient norm and learning rate of every step, in journal order."""
    return [
        (event["step"], event["loss"], event["grad_norm"], event["learning_rate"])
        for event in events(run, "step")
    ]
