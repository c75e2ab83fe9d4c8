"""`trainbox up`: start the MLflow server, which shows the runs in a browser."""

from __future__ import annotations

import argparse
import json

from runner.commands.say import say
from runner.errors import EXIT_DONE
from runner.record.layout import SCHEMA_VERSION, runs_root
from runner.record.root import check_root
from runner.tracking_server import server as tracking_server
from runner.tracking_server.place import KINDS

EXAMPLES = """\
examples:
  trainbox up                      start it, or say where it is running
  trainbox up --server local       a process of this environment, data in runs/.mlflow
  trainbox up --server compose     the container of compose.yaml, data on a Docker volume
  trainbox down                    end it; the data stays

The first time it is the container where a Docker engine and Compose answer, else the process; later
the one that has the runs. It listens on 127.0.0.1 alone. TRAINBOX_MLFLOW_SERVER and
TRAINBOX_MLFLOW_PORT choose for a whole shell.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server", choices=["auto", *KINDS], default=None, help="which server (default: auto)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    runs = runs_root()
    check_root(runs)
    was_running = tracking_server.status(runs) is not None
    server = tracking_server.up(runs, wanted=args.server, say=say)
    earlier = tracking_server.other_data(runs, server)
    if args.json:
        facts = {
            "schema_version": SCHEMA_VERSION,
            "url": server.url,
            "server": server.kind,
            "pid": server.pid,
            "was_running": was_running,
            "data": server.data,
            "earlier_data": earlier,
            "log": server.log,
        }
        print(json.dumps(facts, indent=1))
        return EXIT_DONE
    print(f"MLflow  {server.url}{'  (was running)' if was_running else ''}")
    print(f"data    {server.data}")
    if earlier:
        print(f"        earlier runs are in: {earlier}")
        print("        trainbox sync --all --again sends all of them here")
    return EXIT_DONE
