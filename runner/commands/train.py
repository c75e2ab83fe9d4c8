"""`trainbox train JOB`: plan, check, launch, supervise, record; the same command again resumes."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from runner.backends.choose import BACKENDS, backend_of, choose_backend
from runner.base_model import source
from runner.base_model.hub import hub_cache
from runner.base_model.package import PREFIX
from runner.claim import refuse_in_use
from runner.commands.arguments import add_image_argument, add_job_arguments
from runner.commands.plan_memory import require_fit
from runner.commands.say import say
from runner.commands.train_rehearsal import rehearsal_of, wants_rehearsal
from runner.disk import Need, disks_of, needs_of_run, require_room
from runner.execute import execute
from runner.plan import Plan
from runner.record.layout import RunDir, cache_root, new_run_id, runs_root, size_of
from runner.record.root import check_root
from runner.record.state import RESUMABLE, list_runs, read_identity, read_state
from runner.resolve import Resolved, bring_model, plan_of, resolve

EXAMPLES = """\
examples:
  trainbox train jobs/demo.yaml
  trainbox train jobs/demo.yaml --set train.max_steps=10 --set tracking.mlflow.uri=none
  trainbox train jobs/demo.yaml          once more: goes on with an unfinished run
  trainbox train jobs/demo.yaml --image registry.example/team/trainbox:0.1.0-cpu-43acc5e0d1b2
  trainbox train jobs/demo.yaml --rehearse     tries the longest batch and a save first

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
    add_image_argument(parser)
    parser.add_argument(
        "--rehearse",
        action=argparse.BooleanOptionalAction,
        help="first try the longest batch, an evaluation and a save, in a process of its own "
        "(default: on a GPU, for a run that begins)",
    )
    parser.add_argument(
        "--force", action="store_true", help="start although it does not fit the card or the disk"
    )


def run(args: argparse.Namespace) -> int:
    check_root(runs_root())
    resolved = resolve(Path(args.job), args.overrides, offline=args.offline, say=say)
    backend = choose_backend(args.backend, say=say, image=args.image)
    if not args.force:
        require_room(disks_of(needs_before(resolved, offline=args.offline)), args.job)
    model = bring_model(resolved, offline=args.offline, say=say)
    plan = plan_of(resolved, model, new_run_id(resolved.loaded.job.name))
    if not args.force:
        require_fit(plan.memory, args.job)
    run_dir = unfinished_run(plan) if resolved.loaded.job.checkpoint.resume == "auto" else None
    if run_dir is not None:
        say(f"going on with {run_dir.run_id}, which is not finished")
        refuse_in_use(run_dir)
        name = backend.name if args.image else args.backend
        backend = backend_of(run_dir, name, backend, say=say)
        plan = plan_of(resolved, model, run_dir.run_id)
    if not args.force:
        require_room(disks_of(needs_of(resolved, run_dir)), args.job)
    backend.prepare(plan, say=say)
    measured = None
    if wants_rehearsal(args.rehearse, plan, begins=run_dir is None):
        found = rehearsal_of(plan, resolved, backend, args.job, say=say)
        if isinstance(found, int):
            return found
        measured = found
    run_dir = run_dir or create_run(plan, resolved)
    if measured is not None:
        measured.write(run_dir)
    return execute(run_dir, plan, backend, as_json=args.json)


def needs_before(resolved: Resolved, *, offline: bool) -> list[Need]:
    """Return what a run will write, weights that are still to be brought included."""
    if resolved.model.has_weights:
        return []  # perhaps a run goes on, and has its checkpoints already
    name = resolved.loaded.job.model.name_or_path
    folder = cache_root() if name.startswith(PREFIX) else hub_cache()
    _, missing = source.weight_bytes(resolved.loaded.job.model, offline=offline)
    weights = Need(purpose="weights of the base model", folder=folder, num_bytes=missing)
    return [weights, *needs_of(resolved, None)]


def needs_of(resolved: Resolved, run_dir: RunDir | None) -> list[Need]:
    """Return what a run will write; less where it goes on and has checkpoints."""
    present = size_of(run_dir.checkpoints) if run_dir else 0
    job, config = resolved.loaded.job, resolved.model.config
    return needs_of_run(job, config, runs_root(), present_bytes=present)


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
