"""Execute one attempt of a planned run: supervise, show, track, close the record, sum up."""

from __future__ import annotations

import json
from dataclasses import asdict

from runner.backends.base import Backend
from runner.plan import Plan
from runner.progress import Progress
from runner.record.journal import Event
from runner.record.layout import SCHEMA_VERSION, RunDir
from runner.record.manifest import close_manifest, open_manifest
from runner.record.state import read_state
from runner.record.tracking import start_follower
from runner.samples import Samples
from runner.spec import duration_seconds
from runner.summary import files_of, render_state
from runner.supervise import Outcome, Supervisor

TRACKING_FINISH_SECONDS = 20.0


def execute(run: RunDir, plan: Plan, backend: Backend, *, as_json: bool) -> int:
    """Run one attempt to its end, print the summary and return the exit code."""
    open_manifest(run, plan, backend=backend.name, inside=backend.surroundings())
    progress = Progress(plan.training.num_steps)
    samples = Samples()
    progress.say(f"run {run.run_id}  (log: trainbox logs {run.run_id})")
    follower = start_follower(run, plan)

    def on_event(event: Event) -> None:
        progress.event(event)

    limits = plan.job["limits"]
    supervisor = Supervisor(
        run,
        plan,
        backend,
        on_event=on_event,
        on_terminal=samples.line,
        max_seconds=duration_seconds(limits["max_duration"]) if limits["max_duration"] else None,
        grace_seconds=limits["grace_seconds"],
    )
    try:
        outcome = supervisor.supervise()
    finally:
        progress.close()
    close_manifest(run, outcome.status)
    tracked = follower.finish(TRACKING_FINISH_SECONDS)
    if as_json:
        print(json.dumps(summary_json(run, outcome) | {"tracking": asdict(tracked)}, indent=1))
    else:
        print_summary(run, outcome, samples, tracked.text)
    return outcome.exit_code


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
