"""`trainbox runs`: list the runs and the state each is in."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from runner.errors import EXIT_DONE
from runner.progress import clock
from runner.record.layout import SCHEMA_VERSION, runs_root
from runner.record.state import RunState, list_runs, read_state

EXAMPLES = """\
examples:
  trainbox runs              all runs, oldest first
  trainbox runs --json       the same for a script

states: running · finished · failed · stopped (by you) · preempted (from outside) ·
        limit (of the job) · interrupted (its supervisor died): all but the first two can be
        resumed · damaged (its journal cannot be read)
        running (unattended): its supervisor died, the container trains on: trainbox attach RUN
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    states = [read_state(run_dir) for run_dir in list_runs(runs_root())]
    if args.json:
        rows = [asdict(state) for state in states]
        print(json.dumps({"schema_version": SCHEMA_VERSION, "runs": rows}, indent=1))
    elif not states:
        print(f"no runs in {runs_root()}; start one: trainbox train jobs/demo.yaml")
    else:
        print(render_table(states))
    return EXIT_DONE


def render_table(states: list[RunState]) -> str:
    """Return the runs as aligned columns."""
    rows = [("RUN", "STATE", "STEP", "LOSS", "HELD-OUT", "TIME")]
    for state in states:
        held_out = " → ".join(
            f"{loss:.3f}" for loss in (state.loss_before, state.loss_after) if loss is not None
        )
        rows.append(
            (
                state.run_id,
                state_in_words(state),
                f"{state.step}/{state.num_steps or '?'}",
                "-" if state.loss is None else f"{state.loss:.4g}",
                held_out or "-",
                "-" if state.seconds is None else clock(state.seconds),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def state_in_words(state: RunState) -> str:
    """Return the status, with a word on a run that nobody watches."""
    is_alone = state.status == "running" and not state.is_attended
    return "running (unattended)" if is_alone else state.status
