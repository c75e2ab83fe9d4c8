"""`env-check collect`: the facts of this machine as JSON, without names or secrets."""

from __future__ import annotations

import argparse
import json
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    from env_check.collect import collect
    from env_check.facts import to_json
    from env_check.system import LocalSystem

    facts = to_json(collect(LocalSystem()))
    sys.stdout.write(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    return 0
