"""`trainbox plan JOB`: what would happen, with every `auto` resolved; executes nothing."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from runner.commands.arguments import add_job_arguments
from runner.commands.say import say
from runner.errors import EXIT_DONE
from runner.plan import Plan, PreparedSplit
from runner.record.layout import SCHEMA_VERSION

EXAMPLES = """\
examples:
  trainbox plan jobs/demo.yaml
  trainbox plan jobs/demo.yaml --set train.max_steps=100
  trainbox plan jobs/demo.yaml --no-data     the job file alone: no model, no data, 0.3 s
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    parser.add_argument("--no-data", action="store_true", help="check the job file alone")


def run(args: argparse.Namespace) -> int:
    if args.no_data:
        return check_job_alone(args)
    from runner.resolve import plan_of, planned_model, resolve  # tokenizers and numpy: 0.2 s

    resolved = resolve(Path(args.job), args.overrides, offline=args.offline, say=say)
    # Without weights in the cache the plan has no hash of them yet: `train` computes it.
    plan = plan_of(resolved, planned_model(resolved.model), run_id="(plan)")
    if args.json:
        facts = asdict(plan) | {
            "has_weights": resolved.model.has_weights,
            "data": resolved.data.report.to_dict(),
        }
        print(json.dumps(facts, indent=1))
    else:
        print(render_plan(plan, has_weights=resolved.model.has_weights))
    return EXIT_DONE


def check_job_alone(args: argparse.Namespace) -> int:
    """Validate the job file; neither model nor data are opened."""
    from runner.load import load_job

    loaded = load_job(Path(args.job), args.overrides)
    if args.json:
        facts = {"schema_version": SCHEMA_VERSION, "job": loaded.job.canonical()}
        print(json.dumps(facts, indent=1))
    else:
        print(f"{args.job}: a valid job ({loaded.job.stage}, {loaded.job.method}); data not read")
    return EXIT_DONE


def render_plan(plan: Plan, *, has_weights: bool) -> str:
    """Return the plan as text: model, data, optimisation, and each `auto` with its reason."""
    training, job = plan.training, plan.job
    weights = "in the cache" if has_weights else "not in the cache yet: fetched at the start"
    lines = [
        ("job", f"{job['name']} ({job['stage']}, {job['method']})"),
        ("model", f"{plan.model.public_name} @ {plan.model.revision or 'local'}; {weights}"),
        ("training data", split_line(plan.train_data)),
        ("held-out data", split_line(plan.eval_data) if plan.eval_data else "none"),
        ("device", training.device),
        (
            "steps",
            f"{training.num_steps} ({training.num_epochs:g} epochs), each "
            f"{training.micro_batch_size} x {training.gradient_accumulation_steps} samples",
        ),
    ]
    text = [f"{name:14} {value}" for name, value in lines]
    if plan.decisions:
        text += ["", "resolved:"]
        text += [f"  {d.key} = {d.value}    ({d.reason})" for d in plan.decisions]
    return "\n".join(text)


def split_line(split: PreparedSplit) -> str:
    """Return `341 samples · 41,203 tokens · 22,118 supervised · longest 301`."""
    return (
        f"{split.num_samples:,} samples · {split.num_tokens:,} tokens · "
        f"{split.num_supervised_tokens:,} supervised · longest {split.longest}"
    )
