"""Compiled decoder layers on a CPU: are losses the same, what do they cost, from when do they pay?

A plan refuses `speed.compile` on a CPU; here its lever is pulled nevertheless, on the same plan.
Rounds alternate. The compiled kernels are kept in no cache, so that each round pays for them.

Usage: python -m bench.compiled [--job jobs/demo.yaml] [--rounds 1] [--steps 5] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from bench.throughput import _begun, _row, _write, planned, table
from bench.watch import watch
from runner.plan import Plan
from runner.record.journal import read_events


def main(arguments: Sequence[str] | None = None) -> int:
    args = _arguments(arguments)
    result = _begun(args)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = json.loads(planned(args, folder / "plan.json").read_text(encoding="utf-8"))
        for turn in range(args.rounds):
            for is_compiled in (True, False):
                variant = "compiled" if is_compiled else "plain"
                row = _run(plan, folder / f"{turn}-{variant}", is_compiled)
                result["rounds"].setdefault(variant, []).append(row)
                print(variant, json.dumps(row), flush=True)
                _write(result, args.out)
    print(table(result["rounds"]))
    print(verdict(result["rounds"]))
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.compiled", description=__doc__)
    parser.add_argument("--job", default="jobs/demo.yaml")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, help="JSON; rounds are added to what is there")
    return parser.parse_args(arguments)


def _run(plan: dict[str, Any], folder: Path, is_compiled: bool) -> dict[str, Any]:
    """Train the plan in a run directory of its own; return its row."""
    folder.mkdir()
    known = {field.name for field in fields(Plan)}  # the plan as printed says more
    copy = {key: value for key, value in json.loads(json.dumps(plan)).items() if key in known}
    copy["run_id"] = folder.name
    copy["training"]["levers"]["compile"] = is_compiled
    (folder / "plan.json").write_text(json.dumps(copy), encoding="utf-8")

    def steps() -> list[dict[str, Any]]:
        journal = folder / "journal.jsonl"
        found = read_events(journal) if journal.exists() else []
        return [dict(event) for event in found if event["event"] == "step"]

    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(folder / "kernels")}
    command = [sys.executable, "-m", "runner.train", str(folder)]
    watched = watch(command, environment, lambda: len(steps()), folder / "log.txt")
    return _row(watched, [step["tokens"] for step in steps()], steps())


def verdict(rounds: dict[str, list[dict[str, Any]]]) -> str:
    """Return how far the losses lie apart, and after how many tokens compiling has paid."""
    compiled, plain = rounds["compiled"], rounds["plain"]
    pairs = zip(compiled[-1]["losses"], plain[-1]["losses"], strict=True)
    apart = max(abs(a - b) for a, b in pairs)
    cost = _median(compiled, "first_step_cpu_seconds") - _median(plain, "first_step_cpu_seconds")
    rates = [_median(rows, "useful_tokens_per_cpu_second") for rows in (compiled, plain)]
    saved = 1 / rates[1] - 1 / rates[0]  # cpu seconds a token
    pays = f"pays after {cost / saved:.0f} tokens" if saved > 0 else "never pays"
    return f"losses at most {apart:.1e} apart; {cost:.1f} cpu seconds more to start; {pays}"


def _median(rows: Sequence[dict[str, Any]], key: str) -> float:
    return statistics.median(row[key] for row in rows)


if __name__ == "__main__":
    raise SystemExit(main())
