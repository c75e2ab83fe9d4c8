"""Predict measured runs: `python -m runner.memory FILE.yaml --configs DIR`.

Prints {id: {allocated_bytes, reserved_bytes, device_bytes, fits}} for points and verdicts. A row
that cannot be read is refused with its line on stderr, has `error` instead, and makes exit code 2.
A card that nobody knows is predicted as one that is not stated, and named in `unknown`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from runner.errors import EXIT_DONE, EXIT_REFUSED, TrainboxError
from runner.memory.points import Prediction, predict
from runner.memory.points_file import Row, read_rows


def main(arguments: list[str]) -> int:
    """Predict every row of a file; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runner.memory", description=__doc__)
    parser.add_argument("file", type=Path, help="measured runs, as docs/memory.md describes them")
    parser.add_argument(
        "--configs", type=Path, required=True, metavar="DIR", help="folders NAME/config.json"
    )
    args = parser.parse_args(arguments)
    answers: dict[str, dict[str, object]] = {}
    is_refused = False
    try:
        for row in read_rows(args.file):
            try:
                if isinstance(row, TrainboxError):
                    raise row
                answers[row.id] = _answer(predict(row, args.configs))
            except TrainboxError as error:
                is_refused = True
                print(error.render(), file=sys.stderr)
                if isinstance(row, Row):
                    answers[row.id] = {"error": error.what}
    except TrainboxError as error:
        print(error.render(), file=sys.stderr)
        return EXIT_REFUSED
    print(json.dumps(answers, indent=1))
    return EXIT_REFUSED if is_refused else EXIT_DONE


def _answer(found: Prediction) -> dict[str, object]:
    """Return a prediction as JSON data; what was not known is named only where something was."""
    answer = asdict(found)
    if not found.unknown:
        del answer["unknown"]
    return answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
