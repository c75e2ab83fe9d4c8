"""`trainbox sync`: send MLflow what it has not got yet, and mend a status that is not true."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from runner.commands.say import say
from runner.errors import EXIT_DONE, EXIT_FAILED, JobError
from runner.record.find import LATEST, find_run
from runner.record.layout import SCHEMA_VERSION, RunDir, runs_root
from runner.record.mlflow_run import set_environment
from runner.record.state import list_runs
from runner.record.tracking import SyncReport, sync, target_of
from runner.tracking_server import server as tracking_server

EXAMPLES = """\
examples:
  trainbox sync                        the newest run
  trainbox sync demo-20261121-101500-9f3a
  trainbox sync --all                  every run, for instance after an outage
  trainbox sync --all --again          everything from the beginning, into a new or restored server

Sending twice adds nothing. Exit code 1: something is still missing.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run_name", metavar="RUN", nargs="?", default=None, help="default: the newest"
    )
    parser.add_argument("--all", action="store_true", help="every run")
    parser.add_argument("--uri", default=None, help="server (default: the one the job names)")
    parser.add_argument("--again", action="store_true", help="send everything from the beginning")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    set_environment()
    reports = [sync_run(chosen, args.uri, again=args.again) for chosen in chosen_runs(args)]
    if args.json:
        rows = [asdict(report) for report in reports]
        print(json.dumps({"schema_version": SCHEMA_VERSION, "runs": rows}, indent=1))
    else:
        for report in reports:
            print(render(report))
        if not reports:
            print(f"no runs in {runs_root()}")
    is_behind = any(report.status == "behind" for report in reports)
    return EXIT_FAILED if is_behind else EXIT_DONE


def chosen_runs(args: argparse.Namespace) -> list[RunDir]:
    """Return the runs that the arguments name.

    Raises:
        JobError: a name and --all together.
    """
    if not args.all:
        return [find_run(runs_root(), args.run_name or LATEST)]
    if args.run_name is not None:
        raise JobError(
            id="cli-arguments",
            what=f"both a run ({args.run_name}) and --all are given",
            why="it must be clear what is sent",
            fix="leave one of them out",
        )
    return list_runs(runs_root())


def sync_run(run_dir: RunDir, uri: str | None, *, again: bool) -> SyncReport:
    """Send one run to the given server, to the one its job names, or to the local one."""
    try:
        plan: dict[str, Any] = json.loads(run_dir.plan.read_text(encoding="utf-8"))
        job_uri = uri or plan["job"]["tracking"]["mlflow"]["uri"]
    except (OSError, ValueError, KeyError, TypeError):
        return unreadable(run_dir)  # one damaged run must not keep the others from being sent
    address = tracking_server.explicit_uri(job_uri)
    if address is None:
        server = tracking_server.up(runs_root(), say=say)
        return sync(run_dir, target_of(plan, server.url, server.kind), again=again)
    return sync(run_dir, target_of(plan, address, address), again=again)


def unreadable(run_dir: RunDir) -> SyncReport:
    return SyncReport(
        run_id=run_dir.run_id,
        status="behind",
        url=None,
        num_points=0,
        mlflow_status=None,
        error="its plan.json cannot be read",
    )


def render(report: SyncReport) -> str:
    """Return one line for one run."""
    if report.status == "busy":
        return f"{report.run_id}  is being sent by another process"
    if report.status == "never started":
        return f"{report.run_id}  never started, nothing to send"
    if report.status == "behind":
        return f"{report.run_id}  still behind: {report.error}"
    return f"{report.run_id}  {report.num_points} points sent, {report.mlflow_status}  {report.url}"
