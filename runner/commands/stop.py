"""`trainbox stop RUN`: end a run; it writes a checkpoint first."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time

from runner.commands.attach import attach_run
from runner.errors import EXIT_DONE, BackendError
from runner.record.find import LATEST, find_run
from runner.record.layout import RunDir, runs_root
from runner.record.state import is_locked, read_state

DEFAULT_WAIT_SECONDS = 120

EXAMPLES = """\
examples:
  trainbox stop                  stop the newest run and wait until its checkpoint is written
  trainbox resume RUN            go on with it later
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run_name", metavar="RUN", nargs="?", default=LATEST, help="default: newest"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=DEFAULT_WAIT_SECONDS,
        metavar="SECONDS",
        help="how long to wait for the end (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    run_dir = find_run(runs_root(), args.run_name)
    if not is_locked(run_dir):
        print(f"{run_dir.run_id} is not running ({read_state(run_dir).status})", file=sys.stderr)
        return EXIT_DONE
    facts = json.loads(run_dir.supervisor.read_text(encoding="utf-8"))
    if is_locked(run_dir, run_dir.supervisor_lock):
        interrupt(run_dir, facts["supervisor_pid"])
    elif facts["backend"] == "docker":
        attach_run(run_dir, as_json=False, ask=signal.SIGINT)
    # else: the kernel has told the training process of its supervisor's death; it saves and ends
    deadline = time.monotonic() + args.wait
    while is_locked(run_dir):
        if time.monotonic() > deadline:
            raise BackendError(
                id="run-does-not-stop",
                what=f"{run_dir.run_id} was asked to stop and has not after {args.wait:.0f} s",
                where=str(run_dir.log),
                why="a long step or a slow disk can hold the last checkpoint up",
                fix=f"wait, or look: trainbox logs {run_dir.run_id} -f",
            )
        time.sleep(0.2)
    print(f"{run_dir.run_id}: {read_state(run_dir).status}; go on with: "
          f"trainbox resume {run_dir.run_id}")  # fmt: skip
    return EXIT_DONE


def interrupt(run: RunDir, process_id: int) -> None:
    """Send SIGINT to a supervisor, which passes it on.

    Raises:
        BackendError: it is another user's.
    """
    try:
        os.kill(process_id, signal.SIGINT)
    except ProcessLookupError:  # it has ended meanwhile
        pass
    except PermissionError as error:
        raise BackendError(
            id="run-of-another-user",
            what=f"{run.run_id} was started by another user",
            where=str(run.path),
            why="a process takes signals of its own user alone",
            fix=f"ask its owner; or, with root's rights: sudo kill -INT {process_id}",
        ) from error
