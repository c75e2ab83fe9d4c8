"""What a plan's run will take: tokens, time, money, disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.forecast.of_plan import forecast
from runner.forecast.run import UNKNOWN_YET, Forecast, read_forecast
from runner.machine import Machine
from runner.memory.cards import named_card, stand_in
from runner.plan import Plan, PreparedSplit, read_plan
from runner.spec import Job
from tests.runner.forecast.test_past import write_run
from tests.runner.memory.models import architecture, config
from tests.runner.plans import split, tiny_job, tiny_plan

A100 = Machine(num_cpus=8, memory_bytes=None, gpus=(stand_in(named_card("A100-SXM4-80GB")),))
EPOCHS = {"num_train_epochs": 2.0, "effective_batch_size": 4}


@pytest.fixture
def data(tmp_path: Path) -> PreparedSplit:
    """40 samples of 500 to 539 tokens."""
    lengths = np.arange(500, 540)
    path = tmp_path / "train.npz"
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    np.savez(path, offsets=offsets, input_ids=np.zeros(offsets[-1], np.int32))
    return replace(split(40, 539), path=str(path), num_tokens=int(lengths.sum()))


def forecast_of(job: Job, data: PreparedSplit, runs: Path, **more: Any) -> tuple[Plan, Forecast]:
    plan = tiny_plan(job, train_data=data, eval_data=data, **more)
    arch = architecture("Llama-3.1-8B") if "config" in more else None
    return plan, forecast(plan, job, arch, weight_bytes=(1000, 400), runs=runs)


def test_tokens_are_those_of_all_epochs_and_evaluations(
    data: PreparedSplit, tmp_path: Path
) -> None:
    """Twice the data for two epochs; evaluated before, after and every so many steps."""
    job = tiny_job(train=EPOCHS | {"eval_steps": 10})
    plan, found = forecast_of(job, data, tmp_path)
    assert plan.training.num_steps == 20
    assert found.train_tokens == 2 * data.num_tokens
    assert found.eval_tokens == 3 * data.num_tokens


def test_on_a_processor_nothing_is_guessed(data: PreparedSplit, tmp_path: Path) -> None:
    """Without an earlier run there is no time, and no cost either."""
    job = tiny_job(train=EPOCHS, resources={"price_per_hour": 2.0})
    _, found = forecast_of(job, data, tmp_path, config=config("Llama-3.1-8B"))
    assert (found.seconds, found.cost, found.basis) == (None, None, UNKNOWN_YET)
    assert found.disk.checkpoint_bytes is not None and found.disk.model_missing_bytes == 400


def test_an_earlier_run_is_worth_more_than_arithmetic(data: PreparedSplit, tmp_path: Path) -> None:
    """1,000 tokens/s measured here make the time, on a card too."""
    job = tiny_job(train=EPOCHS, resources={"price_per_hour": 3.6})
    place: dict[str, Any] = {"machine": A100, "config": config("Llama-3.1-8B")}
    plan, _ = forecast_of(job, data, tmp_path, **place)
    write_run(tmp_path / "runs", "before", plan, [1.0, 1000.0, 1000.0, 1000.0])
    _, found = forecast_of(job, data, tmp_path / "runs", **place)
    assert found.seconds is not None and found.cost is not None
    low, high = found.seconds
    assert found.train_tokens / 1000 < low == high < (found.train_tokens + found.eval_tokens) / 1000
    assert found.cost == pytest.approx((low / 1000, high / 1000))
    assert "1 earlier run like it" in found.basis


def test_a_card_has_a_range_with_its_basis(data: PreparedSplit, tmp_path: Path) -> None:
    """8B QLoRA on an A100: minutes, from operations and the share of them that runs get."""
    job = tiny_job(train=EPOCHS, data={"max_length": 1024})
    place: dict[str, Any] = {"machine": A100, "config": config("Llama-3.1-8B")}
    plan, found = forecast_of(job, data, tmp_path, **place)
    assert found.seconds is not None
    low, high = found.seconds
    assert 1.5 < high / low < 10
    rate = found.train_tokens / high, found.train_tokens / low
    assert 500 < rate[0] < rate[1] < 8000
    assert "GFLOP a token" in found.basis and "312 TFLOP/s" in found.basis
    assert plan.memory is not None


def test_the_plan_keeps_it(data: PreparedSplit, tmp_path: Path) -> None:
    """plan.json holds the forecast and gives it back; older plans say nothing."""
    plan, found = forecast_of(tiny_job(train=EPOCHS), data, tmp_path)
    file = tmp_path / "plan.json"
    replace(plan, forecast=replace(found, seconds=(1.0, 2.0))).write(file)
    assert read_plan(file).forecast == replace(found, seconds=(1.0, 2.0))
    assert read_forecast(json.loads("null")) is None
