"""`trainbox check`: the verdict of env-check on this machine."""

from __future__ import annotations

import argparse

EXAMPLES = """\
examples:
  trainbox check                 what env-check says of this machine
  trainbox check -- --json       options after `--` go to env-check
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to env-check")


def run(args: argparse.Namespace) -> int:
    from env_check.cli import main  # standard library alone, but not needed by other commands

    arguments = args.arguments[1:] if args.arguments[:1] == ["--"] else args.arguments
    return main(arguments)
