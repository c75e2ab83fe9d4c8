"""`trainbox check`: the verdict of env-check on this machine, or on this machine for one job."""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from runner.commands.say import say
from runner.errors import EXIT_DONE, PlanError, TrainboxError

if TYPE_CHECKING:
    from env_check.facts import Requirements
    from runner.load import LoadedJob
    from runner.requirements import ModelSize

EXAMPLES = """\
examples:
  trainbox check                               what env-check says of this machine
  trainbox check --job jobs/medical-qa.yaml    and whether this job fits it
  trainbox check --json                        for a script; every option of env-check is passed on
  trainbox check explain train.log

  trainbox check --job jobs/demo.yaml --print-requirements > wants.json     here, and then
  env-check --requirements wants.json                                       on the other machine

exit codes: 0 fine or warnings · 1 a fault · 2 refused · 3 something decisive is unknown
"""
# Faults of a hub model that env-check names itself, with the layer they come from.
NAMED_BY_ENV_CHECK = ("model-not-cached", "model-not-found")
REFUSED_BY_HUB = ("model-gated", "model-access-refused")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_own_arguments(parser)
    own = type(parser)(prog=parser.prog, add_help=False, allow_abbrev=False)
    add_own_arguments(own)
    parser.set_defaults(own=own)
    parser.add_argument(
        "passed_on", metavar="…", nargs=argparse.REMAINDER, help="passed on; see `env-check --help`"
    )


def add_own_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is not env-check's."""
    parser.add_argument("--job", metavar="JOB", help="also compare with what this job wants")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
        help="override a key of the job (may be repeated)",
    )  # fmt: skip
    parser.add_argument("--offline", action="store_true", help="describe the model from the cache")
    parser.add_argument(
        "--print-requirements",
        action="store_true",
        help="print what the job wants as JSON, for `env-check --requirements` elsewhere",
    )


def run(args: argparse.Namespace) -> int:
    from env_check.cli import main  # standard library alone, but not needed by other commands

    # `--image REF --job JOB`: the first that is none of ours takes all behind it along
    args, words = args.own.parse_known_args(args.passed_on, args)
    passed_on = [word for word in words if word != "--"]
    if args.job is None:
        _refuse_without_job(args)
        return main(passed_on)
    wants = json.dumps(asdict(requirements(args)), indent=1) + "\n"
    if args.print_requirements:
        print(wants, end="")
        return EXIT_DONE
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        file.write(wants)
        file.flush()
        return main([*passed_on, "--requirements", file.name])


def _refuse_without_job(args: argparse.Namespace) -> None:
    for given, option in (
        (args.overrides, "--set"),
        (args.offline, "--offline"),
        (args.print_requirements, "--print-requirements"),
    ):
        if given:
            raise PlanError(
                id="cli-arguments",
                what=f"`{option}` is about a job, and none is named",
                why="without a job the machine alone is checked",
                fix="add --job JOB, such as --job jobs/demo.yaml",
            )


def requirements(args: argparse.Namespace) -> Requirements:
    """Load the job, look at its model and data, and return what a machine must have for it.

    Raises:
        TrainboxError: the job file, its model or its data are wrong, whatever the machine.
    """
    from runner.load import load_job
    from runner.requirements import requirements_of

    loaded = load_job(Path(args.job), args.overrides)
    source_bytes, misses_data = data_size(loaded, offline=args.offline)
    return requirements_of(
        loaded.job,
        model_size(loaded, offline=args.offline),
        source_bytes=source_bytes,
        misses_data=misses_data,
    )


def model_size(loaded: LoadedJob, *, offline: bool) -> ModelSize:
    """Describe the base model as far as it can be had; no weights are downloaded.

    A hub that refuses or does not answer is for env-check to name.
    """
    from runner.base_model import package, source
    from runner.requirements import ModelSize

    model = loaded.job.model
    is_package = model.name_or_path.startswith(package.PREFIX)
    is_on_hub = not is_package and not source.is_local(model.name_or_path)
    try:
        # A package is 93 MB to download: what is known of it without serves here.
        folder = source.describe(model, offline=offline or is_package, say=say)
        name, config = folder.public_name, folder.config
    except TrainboxError as error:
        if is_on_hub and error.id in (*NAMED_BY_ENV_CHECK, *REFUSED_BY_HUB):
            is_refused = error.id in REFUSED_BY_HUB
            return ModelSize(name=model.name_or_path, is_on_hub=True, is_refused=is_refused)
        if not is_package:
            error.where = error.where or loaded.where("model.name_or_path")
            raise
        name, config = package.find(model.name_or_path).public_name, {}
    total, missing = source.weight_bytes(model, offline=offline)
    return ModelSize(
        name=name, config=config, weight_bytes=total, missing_bytes=missing, is_on_hub=is_on_hub
    )


def data_size(loaded: LoadedJob, *, offline: bool) -> tuple[int, bool]:
    """Return the bytes of the job's data files, and whether data sets are still to be brought."""
    from runner.data.hub import bring
    from runner.data.rows import is_local
    from runner.record.layout import cache_root

    num_bytes, misses_data = 0, False
    for source in (*loaded.job.data.train, *loaded.job.data.eval):
        if is_local(source.path):
            num_bytes += Path(source.path).stat().st_size
            continue
        try:
            bring(source, cache=cache_root(), offline=True)
        except TrainboxError:
            misses_data = True
    return num_bytes, misses_data
