"""The parser and the table of commands; turns a TrainboxError into text and an exit code.

A command's module is imported only when that command is called, so that `--help` costs nothing.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import gc
import importlib
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from runner import __version__
from runner.errors import EXIT_DONE, EXIT_REFUSED, EXIT_STOPPED, BackendError, TrainboxError

FULL_BYTES = 1 << 20  # a disk with less free is the one that was meant

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
    "attach": "take over a run whose supervisor died while its container trains on",
    "resume": "continue a run from its newest valid checkpoint",
    "sync": "send what MLflow has not got yet",
    "up": "start the MLflow server",
    "down": "stop the MLflow server",
    "image": "build, publish, verify and choose the images that runs train in",
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

    def error(self, message: str, fix: str = "") -> NoReturn:
        sys.exit(refuse("cli-arguments", message, fix or f"see `{self.prog} --help`"))

    def refuse_surplus(self, surplus: Sequence[str]) -> NoReturn:
        """Refuse words that this command does not take; say what may have been meant."""
        word = next((word for word in surplus if word.startswith("-")), surplus[0])
        if not word.startswith("-"):
            usage = " ".join(self.format_usage().split()).removeprefix("usage: ")
            self.error(f"`{word}` is one argument too many", f"write {usage}")
        option = word.partition("=")[0]
        known = re.findall(r"--[a-z-]+", self.format_help())
        near = difflib.get_close_matches(option, known, n=1)
        what = f"`{option}` is not an option of `{self.prog}`"
        if near == [option]:
            what, fix = f"`{option}` stands before the command", f"write it after `{self.prog}`"
        else:
            fix = f"write `{near[0]}`" if near else ""
        self.error(what, fix)


def build_parser(chosen: str | None) -> Parser:
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
        if chosen not in (None, name):
            continue  # nobody sees it, and sixteen parsers take 5 ms
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
            command.set_defaults(run=module.run, refuse_surplus=command.refuse_surplus)
    return parser


def parse(arguments: Sequence[str], chosen: str) -> argparse.Namespace:
    """Return the arguments of the chosen command; what it does not know ends the program."""
    args, surplus = build_parser(chosen).parse_known_args(arguments)
    if surplus and "passed_on" in args:
        args.passed_on = [*surplus, *args.passed_on]
    elif surplus:
        args.refuse_surplus(surplus)
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # a terminal that knows ASCII alone must not turn a report into a traceback
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    if not _has_working_directory():
        return refuse("cli-no-folder", "the working directory is gone", "cd to one that exists")
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    if chosen is None:
        parser = build_parser(None)
        parser.parse_args(arguments)  # --help and --version end here
        parser.print_help()
        return EXIT_REFUSED
    if chosen not in COMMANDS:
        near = difflib.get_close_matches(chosen, COMMANDS, n=1)
        fix = f"write `trainbox {near[0]}`" if near else "see `trainbox --help`"
        return refuse("cli-unknown-command", f"`{chosen}` is not a command of trainbox", fix)
    try:
        return _run(_started(arguments, chosen))
    except BrokenPipeError:  # the reader of a pipe has enough: `trainbox runs | head`
        return _without_reader(EXIT_DONE)


def _started(arguments: Sequence[str], chosen: str) -> argparse.Namespace:
    """Return the arguments of a command that has been imported, as cheaply as that can be.

    Nothing that an import makes is garbage, and no plug-in of pydantic is wanted: to look for them
    takes reading the metadata of every installed package. Together 25 ms.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.disable()
    try:
        return parse(arguments, chosen)
    finally:
        gc.freeze()
        gc.enable()


def _run(args: argparse.Namespace) -> int:
    """Run a command; turn what can be expected to go wrong into text and an exit code."""
    try:
        code: int = args.run(args)
    except TrainboxError as error:
        return _report(error, as_json=getattr(args, "json", False))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return EXIT_STOPPED
    except BrokenPipeError:
        raise
    except OSError as error:
        fault = disk_fault(error)
        if fault is None:
            raise
        return _report(fault, as_json=getattr(args, "json", False))
    return code


def _report(error: TrainboxError, *, as_json: bool) -> int:
    try:
        if as_json:
            print(json.dumps({"schema_version": 1, "error": error.to_dict()}, indent=1))
        print(error.render(), file=sys.stderr)
        sys.stdout.flush()
    except BrokenPipeError:  # `trainbox plan JOB 2>&1 | head` still ends with the error's code
        return _without_reader(error.exit_code)
    return error.exit_code


def _without_reader(exit_code: int) -> int:
    """Let the interpreter end without a word about pipes that nobody reads."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(null, stream.fileno())
    return exit_code


def disk_fault(error: OSError) -> BackendError | None:
    """Return what a disk refused as a fault; None for an error that is no disk's."""
    what = str(error.strerror) + (f": {error.filename}" if error.filename else "")
    why = "the command stopped there; a run that was begun can be resumed"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "free some space; TRAINBOX_RUNS and TRAINBOX_CACHE lead to other disks"
        return BackendError(id="disk-full", what=what, where=_full_folders(), why=why, fix=fix)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        fix = "give this user the right to it; TRAINBOX_RUNS and TRAINBOX_CACHE lead elsewhere"
        return BackendError(id="disk-no-access", what=what, why=why, fix=fix)
    return None


def _full_folders() -> str | None:
    """Return which of our folders lie on a disk that is full, and what it has free."""
    from runner.record.layout import cache_root, runs_root

    full = []
    for folder in (runs_root(), cache_root()):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        system = os.statvfs(existing)
        free = system.f_bavail * system.f_frsize
        if free < FULL_BYTES:
            full.append(f"{folder} ({free:,} bytes free)")
    return ", ".join(full) or None


def refuse(error_id: str, what: str, fix: str) -> int:
    """Say on stderr what is wrong with the command line and return the exit code."""
    print(
        f"error[{error_id}]: {what}\n  why:   nothing was started\n  fix:   {fix}",
        file=sys.stderr,
    )
    return EXIT_REFUSED


def _has_working_directory() -> bool:
    try:
        return bool(os.getcwd())
    except OSError:
        return False
