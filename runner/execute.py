"""Execute one attempt of a planned run: supervise, show, track, close the record, sum up."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict

from runner.backends.base import Backend
from runner.errors import PlanError
from runner.outcome import Outcome
from runner.plan import Plan, read_plan
from runner.progress import Progress
from runner.record.changes import Changes, changes_of
from runner.record.checkpoint import sealed_steps
from runner.record.journal import RESUME_FORCED, SURROUNDINGS_CHANGED
from runner.record.layout import SCHEMA_VERSION, RunDir
from runner.record.manifest import close_manifest, open_manifest, read_manifest, surroundings
from runner.record.state import read_state
from runner.record.tracking import start_follower
from runner.revise import keep_revisions
from runner.samples import Samples
from runner.spec import duration_seconds
from runner.summary import files_of, render_state
from runner.supervise import Supervisor

TRACKING_FINISH_SECONDS = 1.5  # without progress; training ends as without MLflow, or nearly
# A container ends with its command, and with the container whoever still sends to MLflow.
TRACKING_LAST_SECONDS = 120.0


def tracking_seconds(status: str, parent: int) -> float:
    """Return how long MLflow may take without progress once an attempt has ended.

    Args:
        status: of the end; who was asked to leave leaves, before somebody kills.
        parent: process id of the parent; 0 or 1: we are the command of a container.
    """
    is_command_of_container = parent <= 1
    if is_command_of_container and status in ("finished", "failed", "limit"):
        return TRACKING_LAST_SECONDS
    return TRACKING_FINISH_SECONDS


def execute(
    run: RunDir,
    plan: Plan,
    backend: Backend,
    *,
    as_json: bool,
    force: bool = False,
    changed: Sequence[str] = (),
) -> int:
    """Run a plan to its end, print the summary and return the exit code.

    Args:
        force: go on although the libraries have changed since the attempt before.
        changed: what else was forced; recorded.

    Raises:
        PlanError: the run would go on with other libraries.
    """
    plan = keep_revisions(plan, read_plan(run.plan))
    before, now = read_manifest(run), surroundings(backend.name, backend.surroundings())
    changes = changes_of(before, now) if before else Changes(refused=[], noted=[])
    # without a checkpoint nothing is mixed
    refused = changes.refused if sealed_steps(run.checkpoints) else []
    accept(run, refused, force=force)
    notes = [(RESUME_FORCED, [*changed, *refused]), (SURROUNDINGS_CHANGED, changes.noted)]
    open_manifest(run, plan, now)
    return _accompany(
        run,
        plan,
        backend,
        Supervisor.supervise,
        as_json=as_json,
        notes=[(id, "; ".join(parts)) for id, parts in notes if parts],
    )


def accept(run: RunDir, changed: Sequence[str], *, force: bool) -> None:
    """Refuse to go on with a run that is not what it was, unless forced.

    Raises:
        PlanError: something that decides what is trained has changed.
    """
    if changed and not force:
        raise PlanError(
            id="resume-changed",
            what=f"{run.run_id} is not what it was: {'; '.join(changed)}",
            where=str(run.path),
            why="its checkpoints were made with another job, model, data set or software",
            fix="put it back as it was, start a new run (trainbox train, with "
            f"--set checkpoint.resume=never), or: trainbox resume {run.run_id} --force",
        )


def attach(
    run: RunDir, plan: Plan, backend: Backend, *, as_json: bool, ask: int | None = None
) -> int:
    """Take over the attempt that lost its supervisor; as `execute` to its end.

    Args:
        ask: a signal for the training process, sent at once.
    """
    return _accompany(run, plan, backend, lambda one: one.attach(ask), as_json=as_json)


def _accompany(
    run: RunDir,
    plan: Plan,
    backend: Backend,
    begin: Callable[[Supervisor], Outcome],
    *,
    as_json: bool,
    notes: Sequence[tuple[str, str]] = (),
) -> int:
    price = plan.forecast.price_per_hour if plan.forecast else None
    progress = Progress(plan.training.num_steps, price_per_hour=price)
    samples = Samples()
    progress.say(f"run {run.run_id}  (log: trainbox logs {run.run_id})")
    limits = plan.job["limits"]
    supervisor = Supervisor(
        run,
        plan,
        backend,
        on_event=progress.event,
        on_terminal=samples.line,
        max_seconds=duration_seconds(limits["max_duration"]) if limits["max_duration"] else None,
        grace_seconds=limits["grace_seconds"],
        stall_seconds=stall_seconds(limits.get("max_stall", "auto")),
        say=progress.say,
        notes=notes,
    )
    follower = start_follower(run, plan)
    try:
        outcome = begin(supervisor)
    finally:
        progress.close()
    close_manifest(run, outcome.status)
    tracked = follower.finish(tracking_seconds(outcome.status, os.getppid()))
    if as_json:
        print(json.dumps(summary_json(run, outcome) | {"tracking": asdict(tracked)}, indent=1))
    else:
        print_summary(run, outcome, samples, tracked.text)
    return outcome.exit_code


def stall_seconds(max_stall: str | None) -> float | None:
    """Return the watchdog's limit: None to derive it from the run, infinite for none."""
    if max_stall is None:
        return math.inf
    return None if max_stall == "auto" else duration_seconds(max_stall)


def summary_json(run: RunDir, outcome: Outcome) -> dict[str, object]:
    """Return the end of a run as data for `--json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        **asdict(read_state(run)),
        **asdict(outcome),
        "files": files_of(run),
    }


def print_summary(run: RunDir, outcome: Outcome, samples: Samples, tracked: str) -> None:
    """Print answers before and after, state, losses and where everything is."""
    if answers := samples.render():
        print(f"\n{answers}")
    print(f"\n{render_state(run, read_state(run))}\n{'mlflow':14} {tracked}", flush=True)
    if outcome.status == "failed":
        from runner.diagnose import diagnose, render_diagnosis  # its tables: after a failure alone

        if diagnosis := diagnose(run):
            print(f"\n{render_diagnosis(diagnosis)}", flush=True)
