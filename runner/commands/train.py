"""`trainbox train JOB`: plan, check, launch, supervise, record; the same command again resumes."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from runner.backends.choose import BACKENDS, choose_backend
from runner.commands.arguments import add_job_arguments
from runner.commands.plan_memory import require_fit
from runner.commands.say import say
from runner.execute import execute
from runner.plan import Plan
from runner.record.layout import RunDir, new_run_id, runs_root
from runner.record.root import check_root
from runner.record.state import RESUMABLE, list_runs, read_identity, read_state
from runner.resolve import Resolved, bring_model, plan_of, resolve

EXAMPLES = """\
examples:
  trainbox train jobs/demo.yaml
  trainbox train jobs/demo.yaml --set train.max_steps=10 --set tracking.mlflow.uri=none
  trainbox train jobs/demo.yaml          once more: goes on with an unfinished run

Ctrl-C writes a checkpoint and ends with exit code 130; a second Ctrl-C ends at once.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    parser.add_argument(
        "--backend",
        choices=["auto", *BACKENDS],
        default="auto",
        help="where to train (default: auto)",
    )
    parser.add_argument(
        "--force", action="store_true", help="start although the plan says it does not fit"
    )


def run(args: argparse.Namespace) -> int:
    check_root(runs_root())
    resolved = resolve(Path(args.job), args.overrides, offline=args.offline, say=say)
    backend = choose_backend(args.backend, say=say)
    model = bring_model(resolved, offline=args.offline, say=say)
    plan = plan_of(resolved, model, new_run_id(resolved.loaded.job.name))
    if not args.force:
        require_fit(plan.memory, args.job)
    backend.prepare(plan, say=say)
    run_dir = unfinished_run(plan) if resolved.loaded.job.checkpoint.resume == "auto" else None
    if run_dir is not None:
        say(f"going on with {run_dir.run_id}, which is not finished")
        plan = plan_of(resolved, model, run_dir.run_id)
    else:
        run_dir = create_run(plan, resolved)
    return execute(run_dir, plan, backend, as_json=args.json)


def unfinished_run(plan: Plan) -> RunDir | None:
    """Return the newest run with this plan's identity that can go on, or None."""
    for run in reversed(list_runs(runs_root())):
        if read_identity(run) == plan.identity:
            return run if read_state(run).status in RESUMABLE | {"running"} else None
    return None


def create_run(plan: Plan, resolved: Resolved) -> RunDir:
    """Create the run directory; it appears whole, with job and plan in it."""
    root = runs_root()
    aside = root / f".new-{plan.run_id}"
    aside.mkdir(parents=True)
    try:
        new = RunDir(aside)
        new.job.write_bytes(resolved.loaded.text)
        new.checkpoints.mkdir()
        plan.write(new.plan)
        aside.rename(root / plan.run_id)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return RunDir(root / plan.run_id)
