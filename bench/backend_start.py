"""Command to the first optimiser step: in a container against on the host, image present.

The same job in turn, A B A B …; wall seconds, because a container's processes belong to the engine.

Usage: python bench/backend_start.py [--job jobs/demo.yaml] [--rounds 3] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from runner.record.journal import read_events

ROOT = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", default="jobs/demo.yaml")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows: dict[str, list[float]] = {"docker": [], "host": []}
    with tempfile.TemporaryDirectory() as folder:
        seconds_to_first_step(args.job, "docker", Path(folder) / "warm-up")  # builds, fills caches
        for turn in range(args.rounds):
            for backend, found in rows.items():
                runs = Path(folder) / f"{backend}-{turn}"
                found.append(seconds_to_first_step(args.job, backend, runs))
            print({backend: found[-1] for backend, found in rows.items()}, flush=True)
    medians = {backend: statistics.median(found) for backend, found in rows.items()}
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"cpus": os.cpu_count(), "processor": platform.machine()},
        "job": args.job,
        "first_step_seconds": rows,
        "median": medians,
        "docker_minus_host": round(medians["docker"] - medians["host"], 2),
    }
    print(json.dumps(result, indent=1))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def seconds_to_first_step(job: str, backend: str, runs: Path) -> float:
    """Train one step without evaluation; return wall seconds from the command to its end."""
    command = [
        sys.executable, "-m", "runner", "train", job, "--backend", backend,
        "--set", "train.max_steps=1", "--set", "train.num_train_epochs=null",
        "--set", "data.eval=[]", "--set", "tracking.mlflow.uri=none",
        "--set", "tracking.samples=none", "--set", "train.warmup_ratio=0.0",
    ]  # fmt: skip
    started = time.time()
    subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "TRAINBOX_RUNS": str(runs)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    (journal,) = runs.glob("*/journal.jsonl")
    (step,) = (event for event in read_events(journal) if event["event"] == "step")
    return round(float(step["time"]) - started, 2)


if __name__ == "__main__":
    raise SystemExit(main())
