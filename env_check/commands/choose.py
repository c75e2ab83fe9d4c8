"""`env-check choose`: the image variant for this machine."""

from __future__ import annotations

import argparse
import json
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON (docs/env-check.md)")
    parser.add_argument("--facts", metavar="FILE", help="choose for the machine of collected facts")
    parser.set_defaults(deep=False, network=False, requirements=None, image=None)


def run(args: argparse.Namespace) -> int:
    from env_check.choose import choose, text
    from env_check.facts import to_json
    from env_check.gather import gather

    choice = choose(gather(args))
    if args.json:
        document = {"schema_version": 1, **to_json(choice)}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        sys.stdout.write(text(choice))
    return 0 if choice.variant else 1 if choice.is_decided else 3
