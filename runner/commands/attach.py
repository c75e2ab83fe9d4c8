"""`trainbox attach RUN`: take over a container whose supervisor, or its terminal, has died."""

from __future__ import annotations

import argparse

from runner.backends.choose import BACKENDS, newest_backend
from runner.commands.say import say
from runner.execute import attach
from runner.plan import read_plan
from runner.record.find import LATEST, find_run
from runner.record.layout import RunDir, runs_root
from runner.record.state import damaged, read_state

EXAMPLES = """\
examples:
  trainbox attach                the newest run: progress, signals, limits and MLflow as before
  trainbox attach RUN            also of a container that has ended meanwhile: closes its record

Exit codes are those of `trainbox train`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run_name", metavar="RUN", nargs="?", default=LATEST, help="default: newest"
    )
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")


def run(args: argparse.Namespace) -> int:
    run_dir = find_run(runs_root(), args.run_name)
    state = read_state(run_dir)
    say(f"{run_dir.run_id}: {state.status}, step {state.step} of {state.num_steps or '?'}")
    return attach_run(run_dir, as_json=args.json)


def attach_run(run_dir: RunDir, *, as_json: bool, ask: int | None = None) -> int:
    """Take over a run with the backend that its newest attempt was started on.

    Args:
        ask: a signal for the training process, sent at once.
    """
    try:
        plan = read_plan(run_dir.plan)
        name = newest_backend(run_dir) or "host"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(run_dir, run_dir.plan) from error
    return attach(run_dir, plan, BACKENDS[name](), as_json=as_json, ask=ask)
