"""Runs of trainbox as a measurement needs them: a command, what its journal says, its result."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.gpu.models import ROOT
from runner.record.journal import read_events

QUIET = (
    "tracking.mlflow.uri=none", "tracking.samples=none", "data.on_too_long=truncate",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A finished or ended run on disk."""

    folder: Path

    def events(self, kind: str) -> list[dict[str, Any]]:
        journal = self.folder / "journal.jsonl"
        return [dict(event) for event in read_events(journal) if event["event"] == kind]

    @property
    def plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = json.loads((self.folder / "plan.json").read_text(encoding="utf-8"))
        return plan

    @property
    def adapter_sha256(self) -> str:
        adapter = self.folder / "adapter" / "adapter_model.safetensors"
        return hashlib.sha256(adapter.read_bytes()).hexdigest()

    def summary(self) -> dict[str, Any]:
        """Return losses, speed and peaks; the first step, which warms up, left out of the speed."""
        steps = self.events("step")
        evals = {event["phase"]: event["loss"] for event in self.events("eval")}
        later = [step["tokens_per_second"] for step in steps[1:]] or [0.0]
        memory = self.plan["memory"] or {}
        return {
            "steps": len(steps),
            "loss_first": steps[0]["loss"],
            "loss_last": steps[-1]["loss"],
            "held_out": evals,
            "tokens_per_second": round(statistics.median(later), 1),
            "micro_batch_size": self.plan["training"]["micro_batch_size"],
            "gradient_checkpointing": self.plan["training"]["gradient_checkpointing"],
            "planned_allocated_bytes": memory.get("allocated_bytes"),
            "measured_allocated_bytes": max(step["peak_memory_bytes"] for step in steps),
            "levers": self.plan["training"]["levers"],
        }


def train(job: str, runs: Path, settings: Sequence[str]) -> Run:
    """Train a job to its end.

    Raises:
        RuntimeError: it failed; with the end of what it printed.
    """
    process = launch(job, runs, settings)
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"exit {process.returncode}: {output.decode(errors='replace')[-1500:]}")
    return newest(runs)


def launch(job: str, runs: Path, settings: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a job; its output is in the pipe."""
    command = [sys.executable, "-m", "runner", "train", job, "--backend", "host", "--force"]
    command += [part for setting in (*QUIET, *settings) for part in ("--set", setting)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "TRAINBOX_RUNS": str(runs)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def newest(runs: Path) -> Run:
    """Return the run that was begun last."""
    return Run(max(runs.glob("*/plan.json"), key=lambda plan: plan.stat().st_mtime).parent)


def kill_at_step(job: str, runs: Path, settings: Sequence[str], step: int) -> None:
    """Start a job and end all of its processes, without a word, once a step is done."""
    process = launch(job, runs, settings)
    while process.poll() is None:
        plans = list(runs.glob("*/journal.jsonl"))
        if plans and any(one["step"] >= step for one in newest(runs).events("step")):
            break
        time.sleep(0.05)
    assert process.poll() is None, "it ended before it could be killed"
    end_tree(process.pid)
    process.communicate()


def end_tree(process_id: int) -> None:
    """Kill a process and all that it started."""
    try:
        root = psutil.Process(process_id)
        tree = [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return
    for one in tree:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGKILL)
