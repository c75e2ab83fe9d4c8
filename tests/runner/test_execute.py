"""A run goes on in the surroundings it was begun in, or says in what they differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.errors import PlanError
from runner.execute import execute, stall_seconds, tracking_seconds
from runner.plan import Plan, read_plan
from runner.record.journal import Event, read_events
from runner.record.layout import RunDir
from tests.runner.plans import tiny_job, tiny_plan
from tests.runner.test_supervise import ScriptBackend

STEP = "write(event='step', step=1, loss=1.0, step_seconds=0.1, tokens_per_second=1.0)"
FAILS = "sys.exit(1)"


@pytest.fixture
def begun(tmp_path: Path) -> RunDir:
    """A run whose first attempt failed, untracked, with a folder where a checkpoint would be."""
    run = RunDir(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    run.job.write_text("version: 1\n", encoding="utf-8")
    plan = tiny_plan(tiny_job(tracking={"mlflow": {"uri": "none"}}))
    plan.write(run.plan)
    assert execute(run, plan, ScriptBackend(FAILS), as_json=True) == 1
    (run.checkpoints / "step-1").mkdir()
    return run


def plan_of(run: RunDir) -> Plan:
    return read_plan(run.plan)


def change_manifest(run: RunDir, section: str, **values: str) -> None:
    manifest = json.loads(run.manifest.read_text(encoding="utf-8"))
    manifest[section] |= values
    run.manifest.write_text(json.dumps(manifest), encoding="utf-8")


def warnings_of(run: RunDir) -> list[Event]:
    return [event for event in read_events(run.journal) if event["event"] == "warning"]


def test_the_same_surroundings_are_taken_without_a_word(begun: RunDir) -> None:
    """Nothing is refused, and nothing is noted."""
    assert execute(begun, plan_of(begun), ScriptBackend(STEP), as_json=True) == 0
    assert warnings_of(begun) == []


def test_other_libraries_are_refused_before_anything_starts(begun: RunDir) -> None:
    """The difference is listed, and no attempt is begun."""
    change_manifest(begun, "versions", torch="1.0")
    before = begun.journal.read_bytes()
    with pytest.raises(PlanError) as refused:
        execute(begun, plan_of(begun), ScriptBackend(STEP), as_json=True)
    assert refused.value.id == "resume-changed" and "torch: 1.0 → " in refused.value.what
    assert begun.journal.read_bytes() == before


def test_force_goes_on_and_is_recorded(begun: RunDir) -> None:
    """The journal says in what the run is another one now."""
    change_manifest(begun, "versions", torch="1.0")
    assert execute(begun, plan_of(begun), ScriptBackend(STEP), as_json=True, force=True) == 0
    (warning,) = warnings_of(begun)
    assert warning["id"] == "resume-forced" and "torch: 1.0 → " in warning["message"]


def test_without_a_checkpoint_nothing_is_mixed(begun: RunDir) -> None:
    """Who mends a broken environment after a failed start is not asked to force anything."""
    (begun.checkpoints / "step-1").rmdir()
    change_manifest(begun, "versions", torch="1.0")
    assert execute(begun, plan_of(begun), ScriptBackend(STEP), as_json=True) == 0


def test_another_processor_is_noted(begun: RunDir) -> None:
    """A run may move to another machine; the journal says so."""
    change_manifest(begun, "machine", cpu={"model": "Other", "flags": []})  # type: ignore[arg-type]
    assert execute(begun, plan_of(begun), ScriptBackend(STEP), as_json=True) == 0
    (warning,) = warnings_of(begun)
    assert warning["id"] == "resume-surroundings" and "processor: Other → " in warning["message"]


def test_the_watchdogs_limit_comes_from_the_job() -> None:
    """auto leaves it to the run, null waits for ever."""
    assert stall_seconds("auto") is None
    assert stall_seconds("5m") == 300
    assert stall_seconds(None) == float("inf")


@pytest.mark.parametrize(
    ("status", "parent", "waits"),
    [("finished", 0, True), ("failed", 1, True), ("preempted", 0, False), ("stopped", 1, False),
     ("finished", 4711, False)],
)  # fmt: skip
def test_the_command_of_a_container_waits_for_mlflow(status: str, parent: int, waits: bool) -> None:
    """Its end takes the follower with it; a shell leaves it behind, and so does a stop."""
    assert (tracking_seconds(status, parent) > 100) is waits
