"""`trainbox down`: end the MLflow server; its data stays."""

from __future__ import annotations

import argparse
import json

from runner.errors import EXIT_DONE
from runner.record.layout import SCHEMA_VERSION, runs_root
from runner.tracking_server import server as tracking_server

EXAMPLES = """\
examples:
  trainbox down              end the server; `trainbox up` shows the same runs again

A run in progress goes on without it; `trainbox sync` sends what was missed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    server = tracking_server.down(runs_root())
    if args.json:
        facts = {
            "schema_version": SCHEMA_VERSION,
            "was_running": server is not None,
            "url": server.url if server else None,
            "data": server.data if server else None,
        }
        print(json.dumps(facts, indent=1))
    elif server is None:
        print("no MLflow server was running here")
    else:
        print(f"ended   {server.url}")
        print(f"data    {server.data}  (kept)")
    return EXIT_DONE
