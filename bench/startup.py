"""Start to the first optimiser step, and the cost of a step, against a bare TRL script.

Both do the same job (same model folder, data, batch, steps; no evaluation, no tracker), in turn
A B A B …; counted are cpu seconds of the whole process tree, read every 20 ms.

Usage: python -m bench.startup [--job jobs/demo.yaml] [--rounds 3] [--steps 6] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.watch import ROOT, watch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", default="jobs/demo.yaml")
    parser.add_argument("--data", default="data/medical-qa/train.jsonl")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows: dict[str, list[dict[str, float]]] = {"trainbox": [], "bare_trl": []}
        plan = run_trainbox(args, Path(folder) / "warm-up")[1]  # fills caches, writes the plan
        for turn in range(args.rounds):
            rows["trainbox"].append(run_trainbox(args, Path(folder) / f"ours-{turn}")[0])
            rows["bare_trl"].append(run_bare(args, plan, Path(folder) / f"bare-{turn}"))
            print(json.dumps({name: row[-1] for name, row in rows.items()}), flush=True)
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"cpus": os.cpu_count(), "processor": platform.machine()},
        "job": args.job,
        "steps": args.steps,
        "rounds": rows,
        "ratio": ratios(rows),
    }
    print(json.dumps(result["ratio"], indent=1))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def run_trainbox(args: argparse.Namespace, folder: Path) -> tuple[dict[str, float], Path]:
    """Run the job through trainbox; return its cost and the plan it ran."""
    command = [
        sys.executable, "-m", "runner", "train", args.job, "--backend", "host",
        "--set", f"train.max_steps={args.steps}", "--set", "train.num_train_epochs=null",
        "--set", "data.eval=[]", "--set", "tracking.mlflow.uri=none",
        "--set", "tracking.samples=none", "--set", "train.warmup_ratio=0.0",
    ]  # fmt: skip
    environment = {**os.environ, "TRAINBOX_RUNS": str(folder)}

    def steps() -> int:
        journals = list(folder.glob("*/journal.jsonl"))
        return journals[0].read_text().count('"event": "step"') if journals else 0

    folder.mkdir()
    cost = measure(command, environment, steps, folder / "log")
    return cost, next(folder.glob("*/plan.json"))


def run_bare(args: argparse.Namespace, plan: Path, folder: Path) -> dict[str, float]:
    folder.mkdir()
    marks = folder / "marks"
    command = [
        sys.executable, str(ROOT / "bench" / "bare_trl.py"),
        str(plan), args.data, str(marks), str(args.steps),
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache")}

    def steps() -> int:
        return marks.read_text().count("\n") if marks.exists() else 0

    return measure(command, environment, steps, folder / "log")


def measure(
    command: list[str], environment: dict[str, str], steps: Callable[[], int], log: Path
) -> dict[str, float]:
    """Run a command; return cpu and wall seconds to step 1, and cpu seconds a later step."""
    watched = watch(command, environment, steps, log)
    first, last = watched.first, watched.last
    cpu = watched.cpu_seconds
    return {
        "first_step_cpu_seconds": round(cpu[first], 2),
        "first_step_wall_seconds": round(watched.wall_seconds[first], 2),
        "step_cpu_seconds": round((cpu[last] - cpu[first]) / max(last - first, 1), 3),
    }


def ratios(rows: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Return the median over the rounds of trainbox / bare TRL, figure by figure."""
    pairs = list(zip(rows["trainbox"], rows["bare_trl"], strict=True))
    return {
        figure: round(statistics.median(ours[figure] / bare[figure] for ours, bare in pairs), 3)
        for figure in pairs[0][0]
    }


if __name__ == "__main__":
    raise SystemExit(main())
