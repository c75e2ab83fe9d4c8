"""The commands behind `make setup`, `lock`, `lock-check` and `wheelhouse`; the only exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bootstrap.environment import set_up
from bootstrap.errors import SetupError
from bootstrap.pip import explain
from bootstrap.progress import Progress
from runner.container.image import VARIANTS
from runner.errors import EXIT_DONE, EXIT_STOPPED

ROOT = Path(__file__).resolve().parents[1]
OF_THE_DISK = ("setup-disk-full", "setup-not-writable")


def main() -> int:
    """Run one command; return its exit code."""
    args = build_parser().parse_args()
    try:
        if args.command == "setup":
            set_up(ROOT, with_dev=args.dev, environ=os.environ, progress=Progress(sys.stderr))
        elif args.command == "lock":
            from bootstrap.locking import write_locks  # needs the dev layer

            changed = write_locks(ROOT, options=args.option)
            print("changed: " + (", ".join(changed) or "none"))
        elif args.command == "wheelhouse":
            from bootstrap.wheelhouse import check, fill  # needs the environment

            (check if args.check else fill)(ROOT, args.variant, say=print_at_once)
        else:
            from bootstrap.locking import check_locks  # needs the dev layer

            check_locks(ROOT)
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # the clone's disk is full, read-only, or another user's
        fault = explain(str(error), Path(error.filename or ROOT))
        if fault.id not in OF_THE_DISK:
            raise
        print(f"\n{fault}", file=sys.stderr)
        return fault.exit_code
    except KeyboardInterrupt:
        print("\nstopped; `make setup` goes on from here", file=sys.stderr)
        return EXIT_STOPPED
    return EXIT_DONE


def print_at_once(line: str) -> None:
    """Print a line of progress on stderr."""
    print(line, file=sys.stderr, flush=True)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(prog="python3 -m bootstrap", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    setup = commands.add_parser("setup", help="bring .venv to what the locks say")
    setup.add_argument("--dev", action="store_true", help="with the tools for tests and linters")
    lock = commands.add_parser("lock", help="resolve locks/*.in and write locks/*.lock")
    lock.add_argument("option", nargs="*", help="options for uv, after `--`: -- --upgrade")
    wheelhouse = commands.add_parser("wheelhouse", help="bring an image's wheels here, by hash")
    wheelhouse.add_argument("variant", choices=list(VARIANTS))
    wheelhouse.add_argument("--check", action="store_true", help="only say which are missing")
    commands.add_parser("lock-check", help="fail where a lock does not follow from its input")
    return parser


if __name__ == "__main__":
    sys.exit(main())
