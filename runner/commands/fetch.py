"""`trainbox fetch JOB`: bring model and hub data into the cache, for training without a network."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from runner.commands.arguments import add_job_arguments
from runner.commands.say import say
from runner.errors import EXIT_DONE
from runner.record.layout import SCHEMA_VERSION

if TYPE_CHECKING:
    from runner.base_model.source import ModelFolder
    from runner.data.rows import Source

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
    from runner.data.prepare import fetch_hub_data
    from runner.load import load_job
    from runner.record.layout import cache_root

    loaded = load_job(Path(args.job), args.overrides)
    if args.refresh and not args.offline:
        source.forget(loaded.job.model)
    folder = source.fetch(loaded.job.model, offline=args.offline, say=say)
    data = fetch_hub_data(
        loaded.job,
        where=loaded.where,
        cache=cache_root(),
        offline=args.offline,
        refresh=args.refresh and not args.offline,
        say=say,
    )
    if args.json:
        facts = {
            "schema_version": SCHEMA_VERSION,
            "model": model_facts(folder),
            "data": [data_facts(one) for one in data],
        }
        print(json.dumps(facts, indent=1))
    else:
        print(f"{folder.public_name} @ {folder.revision or 'local folder'}")
        print(f"in {folder.folder}")
        for one in data:
            brought = data_facts(one)
            print(f"{brought['name']} ({brought['split']}) @ {brought['revision']}")
            print(f"in {brought['folder']}")
    return EXIT_DONE


def model_facts(folder: ModelFolder) -> dict[str, object]:
    """Return what was brought of the model, with the hashes of its files."""
    from runner.base_model.source import file_hashes

    return {
        "public_name": folder.public_name,
        "revision": folder.revision,
        "folder": str(folder.folder),
        "files": file_hashes(folder.folder),
    }


def data_facts(source: Source) -> dict[str, str]:
    """Return what was brought of a data set."""
    assert source.hub_data is not None, "files of this machine are not brought"
    return {
        "name": source.spec.path,
        "split": source.spec.split or "train",
        "revision": source.hub_data.commit,
        "folder": str(source.hub_data.folder),
    }
