"""`trainbox check`: the verdict of env-check on this machine."""

from __future__ import annotations

import argparse

EXAMPLES = """\
examples:
  trainbox check                 what env-check says of this machine
  trainbox check --json          the same for a script; every option of env-check is passed on
  trainbox check explain train.log
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "passed_on", metavar="…", nargs=argparse.REMAINDER, help="passed on; see `env-check --help`"
    )


def run(args: argparse.Namespace) -> int:
    from env_check.cli import main  # standard library alone, but not needed by other commands

    return main([word for word in args.passed_on if word != "--"])
