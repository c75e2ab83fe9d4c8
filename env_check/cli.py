"""The command `env-check`: arguments, the order of the steps, exit code; the only printing."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, Optional

from env_check.refused import Refused

EXIT_REFUSED = 2
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
  env-check --image trainbox:cu130           the same inside an image, and does it fit this machine
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
    return Parser(
        prog="env-check",
        usage="env-check [options] | env-check {collect,explain,choose} …",
        description="Find the broken layer of a training machine, why, and what mends it.\n\n"
        f"sub-commands:\n{commands}",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in SUB_COMMANDS:
            name, *rest = arguments
            parser = Parser(prog=f"env-check {name}", description=SUB_COMMANDS[name])
            return _run(name, parser, rest)
        if arguments and arguments[0][:1] not in ("", "-"):
            return _refuse_unknown(arguments[0])
        return _run("check", build_parser(), arguments)
    except Refused as refused:
        return refuse(refused.error_id, str(refused), fix=refused.fix)
    except BrokenPipeError:  # the reader has gone, as in `env-check | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _refuse_unknown(word: str) -> int:
    near = difflib.get_close_matches(word, SUB_COMMANDS, n=1)
    fix = f"write `env-check {near[0]}`" if near else "`env-check` alone checks this machine"
    return refuse("cli-unknown-command", f"`{word}` is not a command of env-check", fix=fix)


def _run(name: str, parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    """Run a command; only its own module is imported."""
    module = importlib.import_module(f"env_check.commands.{name}")
    module.add_arguments(parser)
    code: int = module.run(parser.parse_args(arguments))
    return code
