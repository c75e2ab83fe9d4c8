"""Out of memory: the same samples make a step in smaller pieces, and the loss is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.plan import read_plan
from runner.record.layout import RunDir
from runner.record.state import read_state
from tests.control_group import memory_limit
from tests.faults.campaign import attempt
from tests.faults.inject import broken, out_of_memory_above
from tests.forked_trainer import ForkedTrainer
from tests.runner.train.watch import curve, events, failure_of, log_of
from tests.tiny import PUBLIC_NAME, tiny_run

STEPS = 6
TOLERANCE = 1e-5
# Between what 4 and 2 of the hungry run's samples take at once (815 and 502 MiB, measured).
HUNGRY_BYTES = 650 << 20
HUNGRY: dict[str, Any] = {
    "train_samples": 8,
    "eval_samples": 0,
    "part_tokens": (700, 710),
    "model": {"name_or_path": PUBLIC_NAME, "dtype": "float32", "attn_implementation": "eager"},
    "data": {"train": [{"path": "train.jsonl"}], "max_length": 2048},
    "train": {
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "effective_batch_size": 4,
    },
}


def memory_run(path: Path, model: Path, **sections: Any) -> RunDir:
    """Write a run of 2 micro-batches of 4, over 21 samples: an epoch ends in a smaller step."""
    train = {
        "max_steps": STEPS,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "effective_batch_size": 8,
    }
    return tiny_run(
        path,
        model,
        train_samples=21,
        eval_samples=2,
        train=train,
        checkpoint={"save_steps": 2},
        **sections,
    )


def hungry_run(path: Path, model: Path) -> RunDir:
    """Write a run whose attention keeps about 80 MiB a sample."""
    return tiny_run(path, model, **HUNGRY)


def assert_same_losses(run: RunDir, whole: RunDir) -> None:
    for (step, loss, *_), (_, expected, *_) in zip(curve(run), curve(whole), strict=True):
        assert abs(loss - expected) < TOLERANCE, step


def counts(run: RunDir) -> list[tuple[int, int, int]]:
    return [
        (event["step"], event["tokens"], event["supervised_tokens"])
        for event in events(run, "step")
    ]


@pytest.mark.parametrize(
    ("job", "num_tokens", "splits"),
    [
        ({}, 40, [(2, 4), (1, 8)]),
        ({}, 90, [(2, 4)]),
        ({"data": {"packing": True}}, 64, [(2, 4), (1, 8)]),
        ({"stage": "dpo"}, 100, [(2, 4), (1, 8)]),
    ],
    ids=["at once", "in the middle", "packed", "dpo"],
)
def test_the_micro_batch_is_halved_until_it_fits(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path,
    job: dict[str, Any], num_tokens: int, splits: list[tuple[int, int]],
) -> None:  # fmt: skip
    """Each split is an event; steps have the same samples, and the loss agrees within 1e-5."""
    whole = memory_run(tmp_path / "whole", tiny_model, **job)
    assert attempt(whole, trainer).exit_code == 0, log_of(whole)
    run = memory_run(tmp_path / "run", tiny_model, **job)
    with broken(trainer, out_of_memory_above(num_tokens)):
        outcome = attempt(run, trainer)
    assert outcome.exit_code == 0, log_of(run)
    halved = events(run, "warning")
    assert [event["id"] for event in halved] == ["train-micro-batch-halved"] * len(splits)
    facts = ("micro_batch_size", "gradient_accumulation_steps")
    assert [tuple(event[fact] for fact in facts) for event in halved] == splits
    assert counts(run) == counts(whole)
    assert_same_losses(run, whole)
    assert read_plan(run.plan).training.micro_batch_size == splits[-1][0]
    assert read_plan(run.plan).identity == read_plan(whole.plan).identity


def test_one_sample_that_does_not_fit_ends_the_run_with_advice(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """At micro-batch 1 nothing is left to halve: the fault says what else helps."""
    run = memory_run(tmp_path / "run", tiny_model)
    with broken(trainer, out_of_memory_above(4)):
        outcome = attempt(run, trainer)
    assert (outcome.status, outcome.fault) == ("failed", "train-out-of-memory")
    assert len(events(run, "start")) == 3
    assert "gradient_checkpointing" in failure_of(run)["fix"]
    assert read_state(run).status == "failed"


def test_the_kernel_kills_a_run_for_its_memory_and_it_goes_on_in_halves(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """A real kill for want of memory is told from any other, and mended like a device's."""
    whole, run = (hungry_run(tmp_path / name, tiny_model) for name in ("whole", "run"))
    assert attempt(whole, trainer).exit_code == 0, log_of(whole)
    try:
        with memory_limit(HUNGRY_BYTES, trainer.pid):
            outcome = attempt(run, trainer)
    except OSError as error:
        pytest.skip(f"a control group cannot be made here: {error}")
    assert outcome.exit_code == 0, log_of(run)
    first, last = events(run, "end")
    assert (first["fault"], last["fault"]) == ("train-killed-for-memory", None)
    (halved,) = events(run, "warning")
    assert (halved["micro_batch_size"], halved["gradient_accumulation_steps"]) == (2, 2)
    assert counts(run) == counts(whole)
    assert_same_losses(run, whole)
