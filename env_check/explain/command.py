"""`env-check explain [FILE|-] [--json]`: the command line of explain, and the text it shows."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from env_check.explain.causes import Diagnosis
from env_check.explain.diagnose import read_and_explain
from env_check.explain.report import Report

SCHEMA_VERSION = 1
EXIT_SOUND = 0
EXIT_FAULT = 1
EXIT_REFUSED = 2

_UNSEEN = {
    "gpus": "the GPU (nvidia-smi)",
    "driver": "the driver version (nvidia-smi)",
    "torch": "the torch build (python -m torch.utils.collect_env)",
    "bitsandbytes": "bitsandbytes (python -m bitsandbytes)",
    "python": "the Python version",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `env-check explain`."""
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help="a log or a pasted report; - or nothing reads standard input",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable, schema_version 1")


def run(args: argparse.Namespace) -> int:
    """Explain one text; 0 where no environment fault was found, 1 where one was."""
    try:
        if args.file == "-":
            if sys.stdin.isatty():
                print("paste the text, then press Ctrl-D", file=sys.stderr)
            diagnoses, report = read_and_explain(sys.stdin.buffer)
        else:
            with open(args.file, "rb") as stream:
                diagnoses, report = read_and_explain(stream)
    except OSError as error:
        print(
            f"error[explain-unreadable]: {args.file}: {error.strerror}\n"
            "  why:   nothing was explained\n"
            "  fix:   name a log that is there, or pass the text: … | env-check explain -",
            file=sys.stderr,
        )
        return EXIT_REFUSED
    print(to_json(diagnoses) if args.json else to_text(diagnoses, report))
    return EXIT_FAULT if diagnoses else EXIT_SOUND


def to_json(diagnoses: Sequence[Diagnosis]) -> str:
    """Return the diagnoses as JSON, best first."""
    rows = [dataclasses.asdict(each) for each in diagnoses]
    return json.dumps(
        {"schema_version": SCHEMA_VERSION, "diagnoses": rows}, indent=2, ensure_ascii=False
    )


def to_text(diagnoses: Sequence[Diagnosis], report: Report) -> str:
    """Return the diagnoses as a person reads them."""
    if not diagnoses:
        return nothing_found(report)
    return "\n\n".join(_paragraph(place, each) for place, each in enumerate(diagnoses, 1))


def nothing_found(report: Report) -> str:
    """Return the sentence for a text without a fault, with what it did not show."""
    known = set(report.knows())
    unseen = [what for fact, what in _UNSEEN.items() if fact not in known]
    tail = f", and this could not be seen: {'; '.join(unseen)}" if unseen else ""
    return f"no environment fault found in this text{tail}."


def _paragraph(place: int, diagnosis: Diagnosis) -> str:
    head = f"{place}. {diagnosis.cause_id} ({diagnosis.layer}), {diagnosis.confidence:.0%} sure"
    lines = [head, f"   why:    {diagnosis.why}"]
    lines += [
        f"   {'seen:' if not at else '     '}   {quote}"
        for at, quote in enumerate(diagnosis.evidence)
    ]
    lines += [f"   {'fix:' if not at else '    '}    {fix}" for at, fix in enumerate(diagnosis.fix)]
    lines.append(f"   verify: {diagnosis.verify}")
    return "\n".join(lines)
