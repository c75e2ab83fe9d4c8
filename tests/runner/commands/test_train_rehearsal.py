"""`trainbox train --rehearse`: when it happens, and what is said when it fails."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import pytest

from runner.backends.choose import BACKENDS
from runner.cli import main
from runner.commands.train_rehearsal import rehearsal_failed, wants_rehearsal
from runner.errors import EXIT_DONE, EXIT_REFUSED
from runner.machine import Machine
from runner.memory.cards import named_card, stand_in
from runner.outcome import Outcome
from runner.record.state import list_runs
from runner.rehearse import Failed
from runner.resolve import Resolved
from tests.forked_trainer import ForkedTrainer
from tests.runner.data.chats import chat
from tests.runner.memory.models import CONFIGS
from tests.runner.plans import split, tiny_job, tiny_plan
from tests.runner.test_rehearse import OUT_OF_MEMORY
from tests.runner.test_supervise import ScriptBackend

T4 = Machine(num_cpus=2, memory_bytes=None, gpus=(stand_in(named_card("T4")),))


@pytest.mark.parametrize(
    ("asked", "machine", "begins", "wanted"),
    [
        (None, T4, True, True),
        (None, T4, False, False),  # what goes on has shown that it works
        (None, None, True, False),
        (True, None, False, True),
        (False, T4, True, False),
    ],
)
def test_a_card_is_rehearsed_on_a_processor_is_not(
    asked: bool | None, machine: Machine | None, begins: bool, wanted: bool
) -> None:
    """The default is by device, and what is asked for holds."""
    plan = tiny_plan(machine=machine) if machine else tiny_plan()
    assert wants_rehearsal(asked, plan, begins=begins) is wanted


def test_out_of_memory_names_the_smallest_changes() -> None:
    """The plan's advice, least harmful first, ready to paste."""
    config = json.loads((CONFIGS / "Llama-3.1-8B" / "config.json").read_text(encoding="utf-8"))
    job = tiny_job(data={"max_length": 2048}, train={"per_device_train_batch_size": 8})
    plan = tiny_plan(job, T4, train_data=split(100, 2048), config=config)
    resolved: Any = type("Resolved", (), {})()
    resolved.loaded = type("Loaded", (), {"job": job})()
    resolved.model = type("Model", (), {"config": config})()
    failed = Failed(
        outcome=Outcome(status="failed", reason="full", exit_code=1, fault="train-out-of-memory"),
        log=Path("log.txt"),
        fix="halve it",
    )
    error = rehearsal_failed(failed, plan, cast(Resolved, resolved), "job.yaml")
    first = error.fix.splitlines()[1]
    assert '--set "train.per_device_train_batch_size=4"' in first and "saves" in first
    assert error.exit_code == EXIT_REFUSED


@pytest.fixture
def job(
    tmp_path: Path, tiny_model: Path, trainer: ForkedTrainer, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A job of 4 steps on the tiny model; runs and cache of its own; two backends to choose."""
    monkeypatch.setitem(BACKENDS, "forked", lambda: trainer)
    monkeypatch.setitem(BACKENDS, "failing", lambda: ScriptBackend(OUT_OF_MEMORY))
    monkeypatch.setenv("TRAINBOX_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("TRAINBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    chats = [{"messages": chat(f"u:what helps {n}?", f"a:rest {n}.")} for n in range(6)]
    rows = "".join(json.dumps(row) + "\n" for row in chats)
    (tmp_path / "train.jsonl").write_text(rows, encoding="utf-8")
    file = tmp_path / "job.yaml"
    file.write_text(
        "version: 1\nname: tiny\nmethod: lora\n"
        f"model: {{name_or_path: {tiny_model}, dtype: float32}}\n"
        "data: {train: [{path: train.jsonl}], max_length: 128}\n"
        "train: {max_steps: 2, effective_batch_size: 2}\n"
        "tracking: {mlflow: {uri: none}, samples: none}\n",
        encoding="utf-8",
    )
    return file


def test_what_was_rehearsed_is_kept_with_the_run(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run has a rehearsal.json with the measured peak, and no other trace of it."""
    assert main(["train", str(job), "--backend", "forked", "--rehearse"]) == EXIT_DONE
    (run,) = list_runs(job.parent / "runs")
    assert json.loads(run.rehearsal.read_text(encoding="utf-8"))["peak_memory_bytes"] > 0
    assert "rehearsed: longest batch, evaluation and save work" in capsys.readouterr().err


def test_a_failed_rehearsal_begins_no_run(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused with what to do about it; the list of runs stays empty."""
    assert main(["train", str(job), "--backend", "failing", "--rehearse"]) == EXIT_REFUSED
    assert list_runs(job.parent / "runs") == []
    said = capsys.readouterr().err
    assert "plan-rehearsal-failed" in said and "fix:   halve it" in said
