"""Earlier runs on this machine say how fast one like them will go."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from runner.forecast.past import likeness_of, past_rates
from runner.plan import Plan
from runner.record.journal import Journal
from runner.record.layout import RunDir
from tests.runner.plans import tiny_job, tiny_plan


def write_run(root: Path, name: str, plan: Plan, rates: list[float]) -> None:
    run = RunDir(root / name)
    run.path.mkdir(parents=True)
    plan.write(run.plan)
    with Journal(run.journal, 1) as journal:
        journal.write("start", num_steps=len(rates))
        for step, rate in enumerate(rates, 1):
            journal.write("step", step=step, loss=1.0, tokens_per_second=rate)


def likeness(plan: Plan) -> dict[str, Any]:
    return likeness_of(asdict(plan))


def test_the_steps_of_runs_like_it_make_a_range(tmp_path: Path) -> None:
    """The first step of an attempt, which warms up, does not count."""
    plan = tiny_plan()
    write_run(tmp_path, "one", plan, [1.0, 100.0, 200.0])
    write_run(tmp_path, "two", plan, [1.0, 300.0])
    rates = past_rates(tmp_path, likeness(plan))
    assert rates is not None and (rates.num_runs, rates.num_steps) == (2, 3)
    assert 100 <= rates.slow < rates.fast <= 300


def test_another_model_or_too_few_steps_say_nothing(tmp_path: Path) -> None:
    """Nothing is known before three steps of the same kind were measured here."""
    write_run(tmp_path, "few", tiny_plan(), [1.0, 100.0, 100.0])
    write_run(tmp_path, "other", tiny_plan(tiny_job(method="lora")), [1.0, 9.0, 9.0, 9.0])
    assert past_rates(tmp_path, likeness(tiny_plan())) is None
    assert past_rates(tmp_path / "none", likeness(tiny_plan())) is None


def test_damaged_records_are_passed_over(tmp_path: Path) -> None:
    """A torn plan and a journal that makes no sense cost nothing but themselves."""
    plan = tiny_plan()
    write_run(tmp_path, "torn-plan", plan, [1.0, 1.0])
    (tmp_path / "torn-plan" / "plan.json").write_text("{", encoding="utf-8")
    write_run(tmp_path, "bad-journal", plan, [1.0, 1.0])
    (tmp_path / "bad-journal" / "journal.jsonl").write_text("not JSON\n{}\n", encoding="utf-8")
    write_run(tmp_path, "good", plan, [1.0, 5.0, 5.0, 5.0])
    rates = past_rates(tmp_path, likeness(plan))
    assert rates is not None and (rates.slow, rates.fast) == (5.0, 5.0)
