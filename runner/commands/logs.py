"""`trainbox logs RUN`: print the log of a run, and follow it while the run goes on."""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque

from runner.errors import EXIT_DONE
from runner.record.find import LATEST, find_run
from runner.record.layout import RunDir, runs_root
from runner.record.state import is_locked

FOLLOW_SECONDS = 0.5

EXAMPLES = """\
examples:
  trainbox logs                  the log of the newest run
  trainbox logs -n 50            its last 50 lines
  trainbox logs -f               go on printing until the run ends
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run_name", metavar="RUN", nargs="?", default=LATEST, help="default: newest"
    )
    parser.add_argument("-n", "--lines", type=int, metavar="N", help="the last N lines alone")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run ends")


def run(args: argparse.Namespace) -> int:
    run_dir = find_run(runs_root(), args.run_name)
    if not run_dir.log.exists() or not run_dir.log.stat().st_size:
        print("the log is empty: nothing has warned or failed so far", file=sys.stderr)
        if not args.follow:
            return EXIT_DONE
    print_log(run_dir, num_lines=args.lines, follow=args.follow)
    return EXIT_DONE


def print_log(run: RunDir, *, num_lines: int | None, follow: bool) -> None:
    """Print the log; with `follow` until nobody writes it any more."""
    while follow and not run.log.exists() and is_locked(run):
        time.sleep(FOLLOW_SECONDS)
    if not run.log.exists():
        return
    with run.log.open(encoding="utf-8", errors="replace") as log:
        for line in log if num_lines is None else deque(log, maxlen=max(num_lines, 0)):
            sys.stdout.write(line)
        while follow:
            alive = is_locked(run)  # asked before reading: the last lines are not lost
            sys.stdout.write(log.read())
            sys.stdout.flush()
            if not alive:
                return
            time.sleep(FOLLOW_SECONDS)
