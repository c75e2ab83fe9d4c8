"""The command `env-check`: arguments, the order of the steps, exit code; the only printing."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, Optional

if TYPE_CHECKING:
    from env_check.facts import Facts

EXIT_REFUSED = 2
HAND_OVER = "trainbox check --job JOB"
SUB_COMMANDS = {
    "collect": "print the facts of this machine as JSON, to be judged elsewhere with --facts",
    "explain": "say what a pasted report or log shows: env-check explain FILE",
    "choose": "say which image variant fits this machine, and why not the others",
}
EXAMPLES = """\
examples:
  env-check                                  what is broken here, why, and how to mend it
  env-check --deep                           try torch, 4-bit, one training step, each alone
  env-check --network                        also: hub, token, tracking server
  env-check --markdown                       a report to paste into an issue
  env-check collect > facts.json             on the machine that has the trouble
  env-check --facts facts.json               on another
  env-check explain train.log                what a log, nvidia-smi output or traceback shows

exit codes: 0 fine or warnings · 1 a fault · 2 wrong arguments · 3 something decisive is unknown
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors have the shape of all our errors."""

    def error(self, message: str) -> NoReturn:
        raise SystemExit(refuse("cli-arguments", message, fix=f"see `{self.prog} --help`"))


def refuse(error_id: str, what: str, *, fix: str) -> int:
    """Say on stderr what is wrong with the request and return the exit code."""
    print(
        f"error[{error_id}]: {what}\n  why:   nothing was checked\n  fix:   {fix}", file=sys.stderr
    )
    return EXIT_REFUSED


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the check itself; sub-commands have their own."""
    commands = "\n".join(f"  {name:<8} {line}" for name, line in SUB_COMMANDS.items())
    parser = Parser(
        prog="env-check",
        usage="env-check [options] | env-check {collect,explain,choose} …",
        description="Find the broken layer of a training machine, why, and what mends it.\n\n"
        f"sub-commands:\n{commands}",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_check_arguments(parser)
    return parser


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print JSON (docs/env-check.md)")
    shape.add_argument("--markdown", action="store_true", help="print Markdown for an issue")
    parser.add_argument("--deep", action="store_true", help="try the stack in child processes")
    parser.add_argument("--network", action="store_true", help="ask hub and tracking server too")
    parser.add_argument("--facts", metavar="FILE", help="judge collected facts, not this machine")
    parser.add_argument(
        "--requirements", metavar="FILE", help="JSON of a job's wishes (`trainbox check --job`)"
    )


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in SUB_COMMANDS:
            return _sub_command(arguments[0], arguments[1:])
        return check(build_parser().parse_args(arguments))
    except BrokenPipeError:  # the reader has gone, as in `env-check | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _sub_command(name: str, arguments: list[str]) -> int:
    module = importlib.import_module(f"env_check.commands.{name}")
    parser = Parser(prog=f"env-check {name}", description=SUB_COMMANDS[name])
    module.add_arguments(parser)
    code: int = module.run(parser.parse_args(arguments))
    return code


def check(args: argparse.Namespace) -> int:
    """Facts, findings, report: the order of every check."""
    from env_check import render
    from env_check.choose import choose
    from env_check.findings import exit_code
    from env_check.judge import judge

    try:
        facts = gather(args)
    except Refused as refused:
        return refuse(refused.error_id, str(refused), fix=refused.fix)
    findings, choice = judge(facts), choose(facts)
    show = render.as_json if args.json else render.markdown if args.markdown else render.text
    sys.stdout.write(show(facts, findings, choice))
    return exit_code(findings)


class Refused(Exception):
    """A request that cannot be served: its error id and the fix."""

    def __init__(self, error_id: str, what: str, *, fix: str) -> None:
        super().__init__(what)
        self.error_id, self.fix = error_id, fix


def gather(args: argparse.Namespace) -> Facts:
    """Return the facts to judge: of a file or of this machine, with what was asked for added.

    Raises:
        Refused: a file that is not what it should be, or --deep for another machine.
    """
    from env_check.collect import collect
    from env_check.facts import Facts, Requirements
    from env_check.system import LocalSystem

    wants = _from_file(args.requirements, Requirements, "requirements-unreadable", HAND_OVER)
    if args.facts:
        if args.deep or args.network:
            raise Refused(
                "cli-arguments",
                "--deep and --network try this machine, --facts is of another",
                fix="leave out --deep and --network, or --facts",
            )
        facts = _from_file(args.facts, Facts, "facts-unreadable", "env-check collect > facts.json")
        judged: Facts = replace(facts, requirements=wants or facts.requirements)
        return judged
    system = LocalSystem()
    facts = replace(collect(system), requirements=wants)
    if args.network or (wants and (wants.needs_download or wants.tracking_uri)):
        from env_check.probes.network import ask

        facts = replace(facts, network=ask(system, facts.network, wants))
    if args.deep:
        from env_check.deep.run import try_stack

        facts = replace(facts, deep=try_stack(system, facts, _progress))
    return facts


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _from_file(path: Optional[str], kind: Any, error_id: str, made_by: str) -> Any:
    """Return the dataclass in a JSON file, None for no file."""
    from env_check.facts import FactsError, versioned

    if not path:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return versioned(json.load(file), kind)
    except (OSError, ValueError, FactsError) as error:
        raise Refused(error_id, f"{path}: {error}", fix=f"make it with `{made_by}`") from error
