"""Predict measured runs: `python -m runner.memory FILE.yaml --configs DIR`.

Prints {id: {allocated_bytes, reserved_bytes, device_bytes, fits}} for points and verdicts. A row
that cannot be read is refused with its line on stderr, has `error` instead, and makes exit code 2.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from runner.errors import EXIT_DONE, EXIT_REFUSED, TrainboxError
from runner.memory.points import predict
from runner.memory.points_file import read_rows


def main(arguments: list[str]) -> int:
    """Predict every row of a file; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runner.memory", description=__doc__)
    parser.add_argument("file", type=Path, help="measured runs, as docs/memory.md describes them")
    parser.add_argument(
        "--configs", type=Path, required=True, metavar="DIR", help="folders NAME/config.json"
    )
    args = parser.parse_args(arguments)
    answers: dict[str, dict[str, object]] = {}
    try:
        for row in read_rows(args.file):
            try:
                answers[row.id] = asdict(predict(row, args.configs))
            except TrainboxError as error:
                print(error.render(), file=sys.stderr)
                answers[row.id] = {"error": error.what}
    except TrainboxError as error:
        print(error.render(), file=sys.stderr)
        return EXIT_REFUSED
    print(json.dumps(answers, indent=1))
    return EXIT_REFUSED if any("error" in answer for answer in answers.values()) else EXIT_DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
