"""`trainbox fetch JOB`: bring the base model into the cache, for training without a network."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from runner.commands.arguments import add_job_arguments
from runner.commands.say import say
from runner.errors import EXIT_DONE
from runner.record.layout import SCHEMA_VERSION

EXAMPLES = """\
examples:
  trainbox fetch jobs/demo.yaml
  trainbox fetch jobs/medical-qa.yaml --refresh     take the newest commit of the branch
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="ask the hub for the newest commit instead of the one resolved the first time",
    )


def run(args: argparse.Namespace) -> int:
    from runner.base_model import source
    from runner.load import load_job

    model = load_job(Path(args.job), args.overrides).job.model
    if args.refresh:
        source.forget(model)
    folder = source.fetch(model, offline=args.offline, say=say)
    facts = {
        "public_name": folder.public_name,
        "revision": folder.revision,
        "folder": str(folder.folder),
        "files": source.file_hashes(folder.folder),
    }
    if args.json:
        print(json.dumps({"schema_version": SCHEMA_VERSION, "model": facts}, indent=1))
    else:
        print(f"{folder.public_name} @ {folder.revision or 'local folder'}")
        print(f"in {folder.folder}")
    return EXIT_DONE
