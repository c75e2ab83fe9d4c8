"""`trainbox show RUN`: one run, its state, losses and files."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from runner.errors import EXIT_DONE
from runner.record.find import LATEST, find_run
from runner.record.layout import SCHEMA_VERSION, runs_root
from runner.record.state import read_state
from runner.summary import files_of, render_state

EXAMPLES = """\
examples:
  trainbox show                          the newest run
  trainbox show demo-20261121-101500-9f3a
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run_name", metavar="RUN", nargs="?", default=LATEST, help="default: newest"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    run_dir = find_run(runs_root(), args.run_name)
    state = read_state(run_dir)
    if args.json:
        facts = {"schema_version": SCHEMA_VERSION, **asdict(state), "files": files_of(run_dir)}
        print(json.dumps(facts, indent=1))
    else:
        print(render_state(run_dir, state))
    return EXIT_DONE
