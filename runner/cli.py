"""The parser and the table of commands; turns a TrainboxError into text and an exit code.

A command's module is imported only when that command is called, so that `--help` costs nothing.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from runner import __version__
from runner.errors import EXIT_DONE, EXIT_REFUSED, EXIT_STOPPED, TrainboxError

COMMANDS = {
    "train": "train a job: plan, check, launch, supervise, record",
    "plan": "validate a job, prove its data and resolve every `auto`; executes nothing",
    "data": "prove the data of a job and show samples with their loss mask",
    "fetch": "bring the base model (and hub data) of a job into the cache",
    "check": "say whether this machine can train (env-check)",
    "runs": "list the runs",
    "show": "show one run: state, losses, files",
    "logs": "print the log of a run",
    "stop": "stop a run; it writes a checkpoint first",
    "resume": "continue a run from its newest valid checkpoint",
    "sync": "send what MLflow has not got yet",
    "up": "start the MLflow server",
    "down": "stop the MLflow server",
    "image": "build the image that runs train in",
    "schema": "print the JSON Schema of a job, for editors",
}

EXAMPLES = """\
examples:
  trainbox train jobs/demo.yaml                      train the demo (no GPU needed)
  trainbox train jobs/demo.yaml --set train.learning_rate=1e-4
  trainbox plan jobs/medical-qa.yaml                 what would happen, without doing it
  trainbox runs                                      what has run, and how it ended
  trainbox resume demo-20261121-101500-9f3a          go on where it stopped

exit codes: 0 done · 1 failed · 2 refused, nothing started · 3 stopped at a limit of the job
            75 taken away, start me again · 130 stopped by you, checkpoint written
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors have the shape of all our errors."""

    def error(self, message: str) -> NoReturn:
        print(
            f"error[cli-arguments]: {message}\n"
            "  why:   nothing was started\n"
            f"  fix:   see `{self.prog} --help`",
            file=sys.stderr,
        )
        raise SystemExit(EXIT_REFUSED)


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """Return the parser; only the chosen command has its arguments filled in."""
    parser = Parser(
        prog="trainbox",
        description="Fine-tune language models in a reproducible environment.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"trainbox {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, help_line in COMMANDS.items():
        module = importlib.import_module(f"runner.commands.{name}") if name == chosen else None
        command = commands.add_parser(
            name,
            help=help_line,
            description=help_line[0].upper() + help_line[1:] + ".",
            epilog=getattr(module, "EXAMPLES", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if module is not None:
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # a terminal that knows ASCII alone must not turn a report into a traceback
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    if chosen is not None and chosen not in COMMANDS:
        return _unknown_command(chosen)
    parser = build_parser(chosen)
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help()
        return EXIT_REFUSED
    try:
        code: int = args.run(args)
    except TrainboxError as error:
        if getattr(args, "json", False):
            print(json.dumps({"schema_version": 1, "error": error.to_dict()}, indent=1))
        print(error.render(), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return EXIT_STOPPED
    except BrokenPipeError:  # the reader of a pipe has enough: `trainbox runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    return code


def _unknown_command(name: str) -> int:
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    print(
        f"error[cli-unknown-command]: `{name}` is not a command of trainbox\n"
        "  why:   nothing was started\n"
        f"  fix:   {f'write `trainbox {near[0]}`' if near else 'see `trainbox --help`'}",
        file=sys.stderr,
    )
    return EXIT_REFUSED
