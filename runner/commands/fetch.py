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
  trainbox fetch jobs/medical-qa.yaml --refresh          take the newest commit of the branch
  trainbox fetch jobs/medical-qa.yaml --backend docker   download in a container

auto downloads here; what this environment lacks the packages for is done in a container: data sets
of the hub without `datasets`, the conversion of a packaged model without torch.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    parser.add_argument(
        "--backend",
        choices=["auto", "docker", "host"],
        default="auto",
        help="where to download what the hub has (default: auto)",
    )
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="ask the hub for the newest commit instead of the one resolved the first time",
    )


def run(args: argparse.Namespace) -> int:
    from runner.base_model import source
    from runner.data.prepare import fetch_hub_data
    from runner.fetch import bring_hub_data, fetch_in_container
    from runner.load import load_job
    from runner.record.layout import cache_root
    from runner.record.root import check_cache

    check_cache(cache_root())
    loaded = load_job(Path(args.job), args.overrides)
    job, where = loaded.job, loaded.where
    offline, refresh = args.offline, args.refresh and not args.offline
    if args.backend == "docker" and not offline:
        fetch_in_container(job, refresh=refresh, where=where, say=say)
        refresh = False  # done; what follows finds all of it in the cache
    elif args.backend == "auto":
        bring_hub_data(job, where=where, offline=offline, refresh=refresh, say=say)
    if refresh:
        source.forget(job.model)
    folder = source.fetch(job.model, offline=offline, say=say)
    data = fetch_hub_data(
        job, where=where, cache=cache_root(), offline=offline, refresh=refresh, say=say
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
