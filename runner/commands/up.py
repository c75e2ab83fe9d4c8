"""`trainbox up`: start the local MLflow server, which shows the runs in a browser."""

from __future__ import annotations

import argparse
import json
import sys

from runner import tracking_server
from runner.errors import EXIT_DONE
from runner.record.layout import SCHEMA_VERSION, runs_root
from runner.record.root import check_root

EXAMPLES = """\
examples:
  trainbox up                start it, or say where it is running
  trainbox down              end it; the data stays

It listens on 127.0.0.1 alone and keeps its data in runs/.mlflow.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    runs = runs_root()
    check_root(runs)
    was_running = tracking_server.status(runs) is not None
    if not was_running:
        print("starting the MLflow server, about 10 seconds …", file=sys.stderr, flush=True)
    server = tracking_server.up(runs)
    where = tracking_server.place(runs)
    if args.json:
        facts = {
            "schema_version": SCHEMA_VERSION,
            "url": server.url,
            "pid": server.pid,
            "was_running": was_running,
            "database": str(where.database),
            "artifacts": str(where.artifacts),
            "log": str(where.log),
        }
        print(json.dumps(facts, indent=1))
    else:
        print(f"MLflow  {server.url}{'  (was running)' if was_running else ''}")
        print(f"data    {where.folder}")
    return EXIT_DONE
