"""What MLflow is shown: metrics, params, tags and data sets, from journal and plan alone."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from runner.plan import Plan
from runner.record import mlflow_view as view
from tests.runner.plans import split, tiny_job, tiny_plan


def as_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as plan.json holds it."""
    raw: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(plan)))
    return raw


def test_a_step_becomes_one_point_a_number_with_the_journals_time() -> None:
    """Every numeric field of a step is a metric of its name; text and booleans are none."""
    event = {
        "event": "step", "time": 1700000000.1234, "attempt": 2, "step": 7,
        "loss": 1.5, "tokens": 3, "note": "x", "flag": True, "missing": None,
    }  # fmt: skip
    points = view.points_of([event])
    assert [(point.key, point.value) for point in points] == [
        ("train/loss", 1.5),
        ("train/tokens", 3),
    ]
    assert {(point.step, point.time_ms) for point in points} == {(7, 1700000000123)}


def test_the_held_out_loss_before_and_after_has_names_of_its_own() -> None:
    """`eval/loss` is the curve; before and after can be compared between runs as columns."""
    events = [
        {"event": "eval", "time": 1.0, "phase": phase, "step": step, "loss": loss, "num_samples": 9}
        for phase, step, loss in (("before", 0, 3.0), ("during", 5, 2.5), ("after", 9, 2.0))
    ]
    assert [(point.key, point.step, point.value) for point in view.points_of(events)] == [
        ("eval/loss", 0, 3.0),
        ("eval/loss_before", 0, 3.0),
        ("eval/loss", 5, 2.5),
        ("eval/loss", 9, 2.0),
        ("eval/loss_after", 9, 2.0),
    ]


def test_a_diverged_loss_stays_what_it_is() -> None:
    """NaN and infinity are sent as they are, never as 0."""
    event = {"event": "step", "time": 1.0, "step": 1, "loss": math.nan, "grad_norm": math.inf}
    nan, infinity = view.points_of([event])
    assert math.isnan(nan.value) and infinity.value == math.inf


def test_a_name_that_mlflow_would_refuse_is_rewritten() -> None:
    """Brackets, non-ASCII letters and over-long names would reject the whole batch."""
    assert view.metric_key("train/reward(ß)") == "train/reward___"
    assert len(view.metric_key("x" * 999)) == view.MAX_KEY_CHARACTERS


def test_the_same_events_give_the_same_points() -> None:
    """Sending twice adds nothing only because nothing but the journal goes into a point."""
    events = [{"event": "step", "time": 1.25, "step": 1, "loss": 0.1 + 0.2}]
    assert view.points_of(events) == view.points_of(events)


def test_params_are_the_flat_job_and_the_resolved_numbers() -> None:
    """Hyper-parameters keep their names in the job; what `auto` became stands under `resolved`."""
    params = view.params_of(as_json(tiny_plan()))
    assert params["train.learning_rate"] == "0.0002"
    assert params["data.train.0.path"] == "train.jsonl"
    assert params["resolved.micro_batch_size"].isdigit()
    assert params["base_model.public_name"] == "org/tiny"
    assert not any("/nowhere" in value for value in params.values())


def test_a_long_param_is_cut_with_a_pointer() -> None:
    """A value above MLflow's 6000 characters is cut and says where the whole is."""
    job = tiny_job(lora={"target_modules": [f"layer_{index}" for index in range(2000)]})
    value = view.params_of(as_json(tiny_plan(job)))["lora.target_modules"]
    assert len(value) == view.MAX_PARAM_CHARACTERS
    assert value.endswith("plan.json)")


def test_the_home_folder_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths below the user's home are written with `~`: a user name is nobody's business."""
    monkeypatch.setattr(Path, "home", lambda: Path("/home/jo"))
    job = tiny_job(data={"train": [{"path": "/home/jo/d/t.jsonl"}], "max_length": 8})
    plan = as_json(tiny_plan(job))
    assert view.params_of(plan)["data.train.0.path"] == "~/d/t.jsonl"
    assert "/home/jo" not in view.datasets_of(plan)[0].source


def test_data_sets_carry_counts_and_digests_alone() -> None:
    """A held-out part has another digest than the file it is taken from."""
    job = tiny_job(data={"train": [{"path": "d/t.jsonl"}], "max_length": 8, "val_size": 0.5})
    train, evaluation = view.datasets_of(as_json(tiny_plan(job, eval_data=split(4))))
    assert (train.name, train.context) == ("t.jsonl", "training")
    assert (evaluation.name, evaluation.context) == ("t.jsonl", "evaluation")
    assert train.digest != evaluation.digest
    assert len(train.digest) <= view.MAX_DIGEST_CHARACTERS
    assert json.loads(train.profile)["num_samples"] == 10


def test_attempts_become_tags() -> None:
    """Params cannot change in MLflow, and attempts differ: backend, start and end are tags."""
    tags = view.attempt_tags(
        [
            {"event": "start", "attempt": 2, "backend": "host", "device": "cpu"},
            {"event": "resume", "attempt": 2, "checkpoint": "step-5"},
            {"event": "end", "attempt": 2, "status": "finished", "exit_code": 0},
        ]
    )
    assert tags == {
        "trainbox.attempt.2.backend": "host",
        "trainbox.attempt.2.device": "cpu",
        "trainbox.attempt.2.resumed_from": "step-5",
        "trainbox.attempt.2.status": "finished",
        "trainbox.attempt.2.exit_code": "0",
    }


def test_an_address_loses_its_password() -> None:
    """Errors and tracking.json name the server, not who may use it."""
    assert view.without_credentials("at http://jo:pw@host:1/x") == "at http://host:1/x"
