"""The rehearsal tries what a run would need, in a process of its own, and leaves the run alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.data.prepare import load_prepared
from runner.plan import Plan, read_plan
from runner.record.layout import RunDir
from runner.rehearse import NUM_STEPS, Failed, Rehearsal, rehearsal_plan, rehearse
from tests.forked_trainer import ForkedTrainer
from tests.runner.test_supervise import ScriptBackend
from tests.runner.train.watch import curve, log_of, result_sha256
from tests.tiny import tiny_run

JOBS: dict[str, dict[str, Any]] = {
    "lora-dropout": {"lora": {"dropout": 0.1}},
    "full": {"method": "full"},
    "dpo-qlora": {"stage": "dpo", "method": "qlora"},
    "packed": {"data": {"packing": True}},
}
OUT_OF_MEMORY = """
import pathlib
attempts = (pathlib.Path(sys.argv[1]) / "journal.jsonl").read_text().count('"start"')
assert attempts == 1, attempts
(pathlib.Path(sys.argv[1]) / "failure.json").write_text(
    '{"id": "train-out-of-memory", "what": "no room", "fix": "halve it"}'
)
sys.exit(1)
"""


def silent(_: str) -> None:
    """Say nothing."""


def plan_at(folder: Path, model: Path, **sections: Any) -> tuple[RunDir, Plan]:
    run = tiny_run(folder / "run", model, train_samples=12, **sections)
    return run, read_plan(run.plan)


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_a_run_is_the_same_bits_with_and_without(
    job: dict[str, Any], trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """No random number of the run is drawn, no file of it touched; nothing stays behind."""
    plain, _ = plan_at(tmp_path / "plain", tiny_model, **job)
    assert trainer.train(plain) == 0, log_of(plain)
    run, plan = plan_at(tmp_path / "rehearsed", tiny_model, **job)
    root, cache = tmp_path / "runs", tmp_path / "cache"
    found = rehearse(plan, trainer, root=root, cache=cache, say=silent)
    assert isinstance(found, Rehearsal), found
    assert (found.device, found.predicted_bytes) == ("cpu", None)
    assert found.peak_memory_bytes > 0 and found.checkpoint_bytes > 0 and found.step_tokens > 0
    assert [path for path in (*root.rglob("*"), *cache.rglob("*")) if path.is_file()] == []
    assert trainer.train(run) == 0, log_of(run)
    assert curve(run) == curve(plain)
    assert result_sha256(run) == result_sha256(plain)


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_the_longest_samples_are_tried(stage: str, tiny_model: Path, tmp_path: Path) -> None:
    """Two micro-batches of the longest samples, two steps, the longest held-out ones."""
    _, plan = plan_at(tmp_path, tiny_model, stage=stage)
    data = tmp_path / "few"
    data.mkdir()
    small = rehearsal_plan(plan, data)
    assert small.training.num_steps == NUM_STEPS
    assert small.train_data.num_samples == 4 and small.eval_data is not None
    assert small.eval_data.num_samples == 2
    whole, few = (load_prepared(one.train_data.path) for one in (plan, small))
    lengths = _lengths(whole, stage)
    assert sorted(_lengths(few, stage)) == sorted(lengths)[-4:]
    for number, (_, row) in enumerate(few["rows"].tolist()):
        name = "chosen_" if stage == "dpo" else ""
        ids = "chosen_ids" if stage == "dpo" else "input_ids"
        assert _sample(few, ids, name, number) == _sample(whole, ids, name, row - 1)


def _lengths(arrays: dict[str, Any], stage: str) -> list[int]:
    if stage == "sft":
        return [int(length) for length in np.diff(arrays["offsets"])]
    prompt, chosen, rejected = (
        np.diff(arrays[f"{part}_offsets"]) for part in ("prompt", "chosen", "rejected")
    )
    return [int(length) for length in prompt + np.maximum(chosen, rejected)]


def _sample(arrays: dict[str, Any], ids: str, prefix: str, number: int) -> list[int]:
    offsets = arrays[f"{prefix}offsets"]
    return [int(token) for token in arrays[ids][offsets[number] : offsets[number + 1]]]


def test_a_model_that_cannot_be_loaded_is_found_out(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """What would stop the run stops the rehearsal; the log alone is kept, the data is gone."""
    model = shutil.copytree(tiny_model, tmp_path / "model")
    _, plan = plan_at(tmp_path, model)
    (model / "model.safetensors").write_bytes(b"torn")
    cache = tmp_path / "cache"
    found = rehearse(plan, trainer, root=tmp_path / "runs", cache=cache, say=silent)
    assert isinstance(found, Failed)
    assert found.outcome.status == "failed" and found.fix is not None
    assert "safetensors" in found.log.read_text(encoding="utf-8")
    assert list(found.log.parent.iterdir()) == [found.log]
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_out_of_memory_is_not_tried_again_with_less(tiny_model: Path, tmp_path: Path) -> None:
    """The person decides what becomes smaller; the next rehearsal clears what this one left."""
    _, plan = plan_at(tmp_path, tiny_model)
    place = {"root": tmp_path / "runs", "cache": tmp_path / "cache"}
    found = rehearse(plan, ScriptBackend(OUT_OF_MEMORY), say=silent, **place)
    assert isinstance(found, Failed), log_of(RunDir(found.log.parent))
    assert (found.outcome.fault, found.fix) == ("train-out-of-memory", "halve it")
    left = found.log.parent / "left"
    left.touch()
    rehearse(plan, ScriptBackend(OUT_OF_MEMORY), say=silent, **place)
    assert not left.exists()


def test_the_peak_is_shown_beside_the_plan() -> None:
    """One line: measured, predicted, and how far off."""
    line = Rehearsal(
        device="cuda",
        peak_memory_bytes=10 * 2**30,
        predicted_bytes=11 * 2**30,
        step_seconds=2.0,
        step_tokens=8000,
        checkpoint_bytes=2**20,
        seconds=30.0,
    ).render()
    assert "peak 10.00 GiB (planned 11.00, +10.0 %)" in line and "4,000 tokens/s" in line
