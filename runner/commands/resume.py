"""`trainbox resume RUN`: continue a run from its newest valid checkpoint."""

from __future__ import annotations

import argparse
import dataclasses

from runner.backends.choose import BACKENDS, choose_backend, newest_backend
from runner.claim import refuse_in_use
from runner.commands.arguments import add_image_argument
from runner.commands.say import say
from runner.disk import disks_of, needs_of_run, require_room
from runner.errors import EXIT_DONE
from runner.execute import accept, execute
from runner.plan import Plan, read_plan
from runner.record.find import LATEST, find_run
from runner.record.layout import runs_root, size_of
from runner.record.state import damaged, read_state
from runner.resolve import bring_model, plan_of, resolve

EXAMPLES = """\
examples:
  trainbox resume                    go on with the newest run
  trainbox resume RUN --force        although job, data, model or software have changed (recorded)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run_name", metavar="RUN", nargs="?", default=LATEST, help="default: newest"
    )
    parser.add_argument(
        "--backend",
        choices=["auto", *BACKENDS],
        default="auto",
        help="where to train (default: auto, where the run began)",
    )
    add_image_argument(parser)
    parser.add_argument("--offline", action="store_true", help="use the cache alone, no network")
    parser.add_argument("--force", action="store_true", help="go on although something has changed")
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")


def run(args: argparse.Namespace) -> int:
    run_dir = find_run(runs_root(), args.run_name)
    status = read_state(run_dir).status
    if status == "finished":
        say(f"{run_dir.run_id} is finished; there is nothing to go on with")
        return EXIT_DONE
    if status == "damaged":
        raise damaged(run_dir, run_dir.journal)
    refuse_in_use(run_dir)
    try:
        before = read_plan(run_dir.plan)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(run_dir, run_dir.plan) from error
    resolved = resolve(run_dir.job, before.overrides, offline=args.offline, say=say)
    model = bring_model(resolved, offline=args.offline, say=say)
    now = plan_of(resolved, model, run_dir.run_id)
    changed = changes(before, now) if now.identity != before.identity else []
    accept(run_dir, changed, force=args.force)
    if not args.force:
        present = size_of(run_dir.checkpoints)
        job, config = resolved.loaded.job, resolved.model.config
        needs = needs_of_run(job, config, run_dir.path, present_bytes=present)
        require_room(disks_of(needs), str(run_dir.job))
    name = args.backend
    if name == "auto" and not args.image:
        name = newest_backend(run_dir) or "auto"
    backend = choose_backend(name, say=say, image=args.image)
    backend.prepare(now, say=say)
    if changed:
        say(f"going on although this has changed: {'; '.join(changed)}")
        now.write(run_dir.plan)
    return execute(run_dir, now, backend, as_json=args.json, force=args.force, changed=changed)


def changes(before: Plan, now: Plan) -> list[str]:
    """Return what differs between two plans, `key: was → is`."""
    was, is_now = flatten(before), flatten(now)
    return [
        f"{key}: {was.get(key)!r} → {is_now.get(key)!r}"
        for key in sorted(was.keys() | is_now.keys())
        if was.get(key) != is_now.get(key)
    ]


def flatten(plan: Plan) -> dict[str, object]:
    """Return the values of a plan that make its identity, by dotted key."""
    flat: dict[str, object] = {}

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else key, inner)
        else:
            flat[prefix] = value

    walk("", plan.job)
    walk("training", dataclasses.asdict(plan.training))
    walk("model", plan.model.files)
    walk("data.train", plan.train_data.source_sha256)
    walk("data.eval", plan.eval_data.source_sha256 if plan.eval_data else None)
    return flat
