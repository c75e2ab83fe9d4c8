"""`trainbox plan JOB`: what would happen, with every `auto` resolved; executes nothing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.base_model.architecture import linear_modules
from runner.base_model.at_hand import config_at_hand
from runner.choose_gpu import choose_gpu
from runner.commands.arguments import add_job_arguments
from runner.commands.plan_memory import memory_facts, planned_machine, render_memory
from runner.commands.say import say
from runner.decide import Decision, Decisions, decide_training
from runner.errors import EXIT_DONE, EXIT_FAILED
from runner.load import LoadedJob, check_against_model, load_job
from runner.machine import read_machine
from runner.memory.fit import NO, PlannedMemory
from runner.predict import find_architecture, predict_memory
from runner.record.layout import SCHEMA_VERSION

if TYPE_CHECKING:
    from runner.commands.plan_trace import Trace
    from runner.disk import Need
    from runner.memory.architecture import Architecture
    from runner.plan import Plan, PreparedSplit
    from runner.resolve import Resolved
    from runner.spec import Job

EXAMPLES = """\
examples:
  trainbox plan jobs/demo.yaml
  trainbox plan jobs/demo.yaml --set train.max_steps=100
  trainbox plan jobs/medical-qa.yaml --gpu "RTX 4090"     what would happen on that card
  trainbox plan jobs/demo.yaml --no-data     job and model alone, 0.3 s

Exit code 1 where it does not fit the card.
"""


NUM_WARNINGS = 12  # of the data, shown; `trainbox data` has all

NO_CONFIG = (
    "the model's configuration is not on this machine; leave out --no-data to fetch it, or name a "
    "folder that holds its config.json"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    parser.add_argument("--no-data", action="store_true", help="job and model alone, no data")
    parser.add_argument("--gpu", metavar="NAME", help="plan for this card: --gpu 'RTX 4090'")
    parser.add_argument(
        "--trace", action="store_true", help="count memory with the model's own code too (torch)"
    )
    parser.add_argument(
        "--price-per-hour", type=float, metavar="N", help="what an hour costs: says what a run does"
    )
    parser.add_argument("--memory-gib", type=float, metavar="N", help="plan for N GiB of memory")


def run(args: argparse.Namespace) -> int:
    if args.gpu is not None or args.memory_gib is not None:  # the card named here is the one
        args.overrides += ["resources.gpus=1", "resources.gpu=null"]
    if args.price_per_hour is not None:
        args.overrides += [f"resources.price_per_hour={args.price_per_hour}"]
    loaded = load_job(Path(args.job), args.overrides)
    if args.no_data:
        return plan_without_data(args, loaded, "not read, as asked: the longest is max_length")
    if is_config_alone(loaded.job.model.name_or_path):
        return plan_without_data(args, loaded, "not read: the model's folder has no tokenizer.json")
    from runner.resolve import plan_of, planned_model, resolve  # tokenizers and numpy: 0.2 s

    resolved = resolve(Path(args.job), args.overrides, offline=args.offline, say=say)
    machine = planned_machine(resolved.machine, args.gpu, args.memory_gib)
    resolved = replace(resolved, machine=machine)
    # Without weights in the cache the plan has no hash of them yet: `train` computes it.
    plan = plan_of(resolved, planned_model(resolved.model), run_id="(plan)")
    arch = find_architecture(resolved.model.config)
    memory = loaded.job, vars(plan.training), plan.memory, arch
    folder = resolved.model.folder
    longest = plan.memory.length if plan.memory else plan.train_data.longest
    traced = _traced(args, *memory[:2], longest, folder, arch)
    needs = _needs(resolved, args.offline)
    if args.json:
        from runner.commands.plan_forecast import room_facts

        facts = asdict(plan) | {
            "has_weights": resolved.model.has_weights,
            "data": resolved.data.report.to_dict(),
            **memory_facts(*memory),
            "cost": plan.forecast.cost if plan.forecast else None,
            "disks": room_facts(needs),
            "trace": asdict(traced) if traced else None,
        }
        print(json.dumps(facts, indent=1))
    else:
        print(render_plan(plan, needs))
        print(f"\n{render_memory(*memory)}")
        print(render_warnings(resolved.data.report.warnings()), end="")
        if traced:
            print(traced.render())
    return exit_code(plan.memory)


def plan_without_data(args: argparse.Namespace, loaded: LoadedJob, data: str) -> int:
    """Plan from the job file and, where it is on this machine, the model's configuration.

    Args:
        data: why the data was not read.
    """
    job, decide = loaded.job, Decisions()
    gpu = choose_gpu(job, planned_machine(read_machine(), args.gpu, args.memory_gib))
    config = config_at_hand(job.model)
    if config:
        check_against_model(loaded, config, linear_modules(config, None))
    arch = find_architecture(config) if config else None
    fields = decide_training(job, gpu, job.data.max_length, arch, decide)
    planned = predict_memory(job, fields, job.data.max_length, arch, gpu) if arch else None
    memory = job, fields, planned, arch
    folder = Path(job.model.name_or_path).expanduser()
    traced = _traced(args, job, fields, job.data.max_length, folder, arch) if config else None
    if args.json:
        facts = {
            "schema_version": SCHEMA_VERSION,
            "job": job.canonical(),
            "training": {**fields, "levers": asdict(fields["levers"])},
            "decisions": [asdict(decision) for decision in decide.made],
            **memory_facts(*memory),
            "trace": asdict(traced) if traced else None,
        }
        print(json.dumps(facts, indent=1))
    else:
        print(f"{args.job}: a valid job ({job.stage}, {job.method})\n{'data':14} {data}")
        print(render_decisions(decide.made))
        if config:
            print(f"\n{render_memory(*memory)}")
        else:
            print(f"\ndevice memory  not predicted: {NO_CONFIG}")
        if traced:
            print(traced.render())
    return exit_code(planned)


def _traced(
    args: argparse.Namespace,
    job: Job,
    fields: dict[str, Any],
    longest: int,
    folder: Path,
    arch: Architecture | None,
) -> Trace | None:
    if not args.trace:
        return None
    from runner.commands.plan_trace import trace_job

    return trace_job(job, fields, longest, folder, arch)


def is_config_alone(name: str) -> bool:
    """Say whether a model is a folder with a configuration and nothing to tokenise with."""
    folder = Path(name).expanduser()
    has_others = any(folder.glob("*token*")) or any(folder.glob("*.safetensors"))
    return (folder / "config.json").is_file() and not has_others


def exit_code(memory: PlannedMemory | None) -> int:
    """Return 1 where the run does not fit, else 0."""
    return EXIT_FAILED if memory is not None and memory.verdict == NO else EXIT_DONE


def _needs(resolved: Resolved, offline: bool) -> list[Need]:
    from runner.commands.train import needs_before, needs_of

    return needs_before(resolved, offline=offline) or needs_of(resolved, None)


def render_plan(plan: Plan, needs: Sequence[Need]) -> str:
    """Return the plan as text: model, data, optimisation, and each `auto` with its reason.

    Args:
        needs: what the run will write.
    """
    training, job = plan.training, plan.job
    is_here = plan.forecast is None or not plan.forecast.disk.model_missing_bytes
    weights = "in the cache" if is_here else "not in the cache yet: fetched at the start"
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
    if plan.forecast:
        from runner.commands.plan_forecast import render_forecast, room_lines

        lines += [*render_forecast(plan.forecast), *room_lines(needs)]
    return "\n".join(f"{name:14} {value}" for name, value in lines) + render_decisions(
        plan.decisions
    )


def render_warnings(warnings: Sequence[str]) -> str:
    """Return what to look at in the data before training; empty where nothing is."""
    shown = [f"  {warning}\n" for warning in warnings[:NUM_WARNINGS]]
    if len(warnings) > NUM_WARNINGS:
        shown.append(f"  and {len(warnings) - NUM_WARNINGS} more: `trainbox data JOB`\n")
    return "".join(["\nto look at in the data:\n", *shown]) if shown else ""


def render_decisions(decisions: Sequence[Decision]) -> str:
    """Return what became of each `auto`, and why; empty where there was none."""
    if not decisions:
        return ""
    return "\n\nresolved:\n" + "\n".join(
        f"  {d.key} = {d.value}    ({d.reason})" for d in decisions
    )


def split_line(split: PreparedSplit) -> str:
    """Return `341 samples · 41,203 tokens · 22,118 supervised · longest 301`."""
    return (
        f"{split.num_samples:,} samples · {split.num_tokens:,} tokens · "
        f"{split.num_supervised_tokens:,} supervised · longest {split.longest}"
    )
