"""Arguments that several commands share."""

from __future__ import annotations

import argparse


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job file, `--set`, `--offline` and `--json`."""
    parser.add_argument("job", metavar="JOB", help="the job file, such as jobs/demo.yaml")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key of the job: --set train.learning_rate=1e-4 (may be repeated)",
    )
    parser.add_argument("--offline", action="store_true", help="use the cache alone, no network")
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")


def add_image_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--image`, which has a run train in a container."""
    parser.add_argument(
        "--image", metavar="IMAGE", help="train in this image, not in the one that fits (docker)"
    )
