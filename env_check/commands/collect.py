"""`env-check collect`: the facts of this machine as JSON, without names or secrets."""

from __future__ import annotations

import argparse
import json
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--deep", action="store_true", help="try the stack in child processes")
    parser.add_argument("--network", action="store_true", help="ask hub and tracking server too")
    parser.add_argument("--image", metavar="REF", help="look into this image too")
    parser.set_defaults(facts=None, requirements=None)


def run(args: argparse.Namespace) -> int:
    from env_check.facts import to_json
    from env_check.gather import gather

    sys.stdout.write(json.dumps(to_json(gather(args)), indent=2, ensure_ascii=False) + "\n")
    return 0
