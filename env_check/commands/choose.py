"""`env-check choose`: the image variant for this machine."""

from __future__ import annotations

import argparse
import json
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON (docs/env-check.md)")


def run(args: argparse.Namespace) -> int:
    from env_check.choose import choose, text
    from env_check.collect import collect
    from env_check.facts import to_json
    from env_check.system import LocalSystem

    choice = choose(collect(LocalSystem()))
    if args.json:
        document = {"schema_version": 1, **to_json(choice)}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        sys.stdout.write(text(choice))
    return 0 if choice.variant else 1 if choice.is_decided else 3
