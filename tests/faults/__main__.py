"""Kill training runs at random moments and report how many end with the bits they should.

    python -m tests.faults --kills 200 --seed 1 --damage 0.3 --out bench/results/faults.json

Exits with 1 where a run did not finish or ended otherwise than the one nobody disturbed.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

from runner.backends.host import HostBackend
from tests.faults.campaign import References, campaign
from tests.faults.jobs import JOBS
from tests.forked_trainer import ForkedTrainer
from tests.tiny import write_tiny_model


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--damage", type=float, default=0.0, metavar="CHANCE")
    parser.add_argument("--jobs", nargs="+", choices=sorted(JOBS), default=list(JOBS))
    parser.add_argument(
        "--cold",
        action="store_true",
        help="start every attempt as the host backend does: kills hit interpreter and imports too",
    )
    parser.add_argument("--out", type=Path, help="append the result to this JSON list")
    args = parser.parse_args()
    started = time.monotonic()
    forked = None if args.cold else ForkedTrainer()
    try:
        with tempfile.TemporaryDirectory() as folder:
            model, backend = write_tiny_model(Path(folder) / "model"), forked or HostBackend()
            tally = campaign(
                Path(folder),
                model,
                backend,
                References(Path(folder) / "references", model, backend),
                jobs=args.jobs,
                num_kills=args.kills,
                seed=args.seed,
                damage_chance=args.damage,
                say=lambda line: print(line, flush=True),
            )
    finally:
        if forked is not None:
            forked.close()
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "processor": platform.machine(),
        "start": "cold" if args.cold else "forked",
        "damage_chance": args.damage,
        "seconds": round(time.monotonic() - started),
        **tally.to_dict(),
    }
    print(json.dumps(result, indent=1))
    if args.out:
        results = json.loads(args.out.read_text()) if args.out.exists() else []
        args.out.write_text(json.dumps([*results, result], indent=1) + "\n", encoding="utf-8")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
