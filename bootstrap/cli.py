"""The commands behind `make setup`, `make lock` and `make lock-check`; the only exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bootstrap.environment import set_up
from bootstrap.errors import SetupError
from bootstrap.progress import Progress
from runner.errors import EXIT_DONE, EXIT_STOPPED

ROOT = Path(__file__).resolve().parents[1]


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
        else:
            from bootstrap.locking import check_locks  # needs the dev layer

            check_locks(ROOT)
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nstopped; `make setup` goes on from here", file=sys.stderr)
        return EXIT_STOPPED
    return EXIT_DONE


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(prog="python3 -m bootstrap", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    setup = commands.add_parser("setup", help="bring .venv to what the locks say")
    setup.add_argument("--dev", action="store_true", help="with the tools for tests and linters")
    lock = commands.add_parser("lock", help="resolve locks/*.in and write locks/*.lock")
    lock.add_argument("option", nargs="*", help="options for uv, after `--`: -- --upgrade")
    commands.add_parser("lock-check", help="fail where a lock does not follow from its input")
    return parser


if __name__ == "__main__":
    sys.exit(main())
