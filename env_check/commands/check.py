"""`env-check` without a sub-command: what is broken here, why, and how to mend it."""

from __future__ import annotations

import argparse
import sys

from env_check import render
from env_check.choose import choose
from env_check.findings import exit_code
from env_check.gather import add_gathering_arguments, gather
from env_check.judge import judge


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print JSON (docs/env-check.md)")
    shape.add_argument("--markdown", action="store_true", help="print Markdown for an issue")
    add_gathering_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Facts, findings, report: the order of every check."""
    facts = gather(args)
    findings, choice = judge(facts), choose(facts)
    show = render.as_json if args.json else render.markdown if args.markdown else render.text
    sys.stdout.write(show(facts, findings, choice))
    return exit_code(findings)
