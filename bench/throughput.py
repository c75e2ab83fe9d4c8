"""Tokens a second, honestly: a bare TRL script, trainbox, and trainbox with each lever off.

All do the same job: model folder, data and its order, effective batch, seed, steps, loss on the
last answer of a chat; no evaluation, no tracker, no checkpoint before the end. Variants run in
turn, round after round; the first step of each run is its start and does not count. A token is
useful if it is no padding. One table at the end, one JSON file that further rounds are added to.

Usage: python -m bench.throughput [--job jobs/demo.yaml] [--data FILE] [--rounds 3] [--steps 6]
           [--only NAME …] [--peer NAME=PYTHON …] [--set KEY=VALUE …] [--out FILE]

A peer is `bench/peers/run_NAME.py`, run by the Python of an environment that has it: a script with
the arguments of bench/bare_trl.py that appends the same lines. On a machine that is shared, pin
everything to one processor (`taskset -c 0 …`) and look at tokens per cpu second.
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
from collections.abc import Sequence
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.watch import ROOT, Watched, watch
from runner.errors import EXIT_REFUSED
from runner.machine import read_machine
from runner.record.journal import read_events

BARE = "bench/bare_trl.py"
LEVERS = {
    "without padding_free": ("speed.padding_free=false",),
    "without fused_adapters": ("speed.fused_adapters=false",),
    "without any lever": (
        "speed.padding_free=false", "speed.loss_head=trl", "speed.dense_base=false",
        "speed.fused_adapters=false", "speed.uncast_inputs=false",
    ),
}  # fmt: skip
ON_A_CPU = {  # where `auto` is otherwise than on cards
    "without one-pass head": ("speed.loss_head=trl",),
    "without dense_base": ("speed.dense_base=false",),
}
ON_CARDS = {
    "with one-pass head": ("speed.loss_head=one_pass",),
    "with compile": ("speed.compile=true",),
    "with layer_kernels": ("speed.layer_kernels=true",),
    "with full checkpointing": ("train.gradient_checkpointing=full",),
    "with dense_base": ("speed.dense_base=true",),
    "without uncast_inputs": ("speed.uncast_inputs=false",),  # nothing in float32
    "without tf32": ("speed.tf32=false",),
}
COLUMNS = {
    "useful_tokens_per_second": "tokens/s",
    "useful_tokens_per_cpu_second": "tokens/cpu-s",
    "first_step_cpu_seconds": "start cpu-s",
    "first_step_wall_seconds": "start s",
    "utilisation": "used",
    "peak_allocated_bytes": "allocated",
    "peak_reserved_bytes": "reserved",
    "peak_device_bytes": "device",
    "last_loss": "last loss",
}
PEERS = ("llamafactory", "ms-swift", "axolotl", "unsloth")
PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate")


def main(arguments: Sequence[str] | None = None) -> int:
    args = _arguments(arguments)
    result = _begun(args)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for peer, python in _peers(args).items():
            result["peers"][peer] = _versions_in(python)
        plan = planned(args, folder / "plan.json")  # fills the caches too
        variants = _variants(args, on_card=_on_card(plan))
        for turn in range(args.rounds):
            for variant in _rotated(variants, turn):
                place = folder / f"{turn}-{variant.replace(' ', '-')}"
                try:
                    row = _run(args, variant, variants[variant], plan, place)
                except SystemExit as failed:  # a variant that cannot run is a row of its own
                    result["failed"][variant] = str(failed)[-600:]
                    print(f"{variant}: failed\n{failed}", file=sys.stderr)
                else:
                    result["rounds"].setdefault(variant, []).append(row)
                    print(variant, json.dumps(row), flush=True)
                _write(result, args.out)
    print(table(result["rounds"]))
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.throughput", description=__doc__)
    parser.add_argument("--job", default="jobs/demo.yaml")
    parser.add_argument("--data", default="data/medical-qa/train.jsonl", help="of the TRL script")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--only", action="append", help="this variant (again for more)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, help="JSON; rounds are added to what is there")
    return parser.parse_args(arguments)


def _variants(args: argparse.Namespace, *, on_card: bool) -> dict[str, tuple[str, ...]]:
    """Return every variant: overrides of a trainbox run, or a script and its options."""
    variants: dict[str, tuple[str, ...]] = {
        "TRL, its defaults": (BARE, "--defaults"),
        "TRL, same micro-batch": (BARE,),
        "TRL, same tokens": (BARE, "--prepared"),
        **{name: (f"bench/peers/run_{name}.py",) for name in _peers(args)},
        "trainbox": (),
        **LEVERS,
        **(ON_CARDS if on_card else ON_A_CPU),
    }
    if unknown := set(args.only or ()) - set(variants):
        raise SystemExit(f"no variant {sorted(unknown)} on this device, but {sorted(variants)}")
    return {name: how for name, how in variants.items() if not args.only or name in args.only}


def _peers(args: argparse.Namespace) -> dict[str, str]:
    return dict(peer.partition("=")[::2] for peer in args.peer)


def _rotated(variants: dict[str, Any], turn: int) -> list[str]:
    """Return the names, each round beginning with another, so that none is always first."""
    names = list(variants)
    turn %= max(len(names), 1)
    return names[turn:] + names[:turn]


def _run(
    args: argparse.Namespace, name: str, how: tuple[str, ...], plan: Path, folder: Path
) -> dict[str, Any]:
    if how and how[0].endswith(".py"):
        return script(args, how, plan, folder, _peers(args).get(name, sys.executable))
    return trainbox(args, folder, how)


def planned(args: argparse.Namespace, file: Path) -> Path:
    """Write the plan of the job, which the scripts read their numbers from."""
    command = [sys.executable, "-m", "runner", "plan", args.job, "--json", *_settings(args)]
    with file.open("wb") as output:
        if subprocess.run(command, cwd=ROOT, stdout=output).returncode == EXIT_REFUSED:
            raise SystemExit(f"{' '.join(command)}: refused")
    return file


def _settings(args: argparse.Namespace, overrides: Sequence[str] = ()) -> list[str]:
    settings = [
        f"train.max_steps={args.steps}", "train.num_train_epochs=null", "data.eval=[]",
        "data.val_size=null", "data.loss_on=completion", "tracking.mlflow.uri=none",
        "tracking.samples=none", "train.warmup_ratio=0.0", f"checkpoint.save_steps={args.steps}",
        *args.set, *overrides,
    ]  # fmt: skip
    return [part for setting in settings for part in ("--set", setting)]


def trainbox(args: argparse.Namespace, folder: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Run the job through trainbox; return its row."""
    folder.mkdir()
    command = [sys.executable, "-m", "runner", "train", args.job, "--backend", "host"]
    command += _settings(args, overrides)

    def steps() -> list[dict[str, Any]]:
        journals = list(folder.glob("*/journal.jsonl"))
        found = read_events(journals[0]) if journals else []
        return [dict(event) for event in found if event["event"] == "step"]

    environment = {**os.environ, "TRAINBOX_RUNS": str(folder)}
    watched = watch(command, environment, lambda: len(steps()), folder / "log")
    row = _row(watched, [step["tokens"] for step in steps()], steps())
    return row | {"peak_allocated_bytes": steps()[-1]["peak_memory_bytes"]}


def script(
    args: argparse.Namespace, how: tuple[str, ...], plan: Path, folder: Path, python: str
) -> dict[str, Any]:
    """Run a peer's script by its own Python; return its row."""
    folder.mkdir()
    marks = folder / "marks"
    command = [
        python, str(ROOT / how[0]), *how[1:],
        str(plan), args.data, str(marks), str(args.steps),
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache")}

    def lines() -> list[str]:
        return marks.read_text(encoding="utf-8").splitlines() if marks.exists() else []

    watched = watch(command, environment, lambda: len(lines()), folder / "log")
    seen = [json.loads(line) for line in lines()]
    totals = [0, *(one["tokens"] for one in seen)]
    tokens = [after - before for before, after in pairwise(totals)]
    return _row(watched, [int(one) for one in tokens], seen)


def _row(
    watched: Watched, tokens: Sequence[int], steps: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the figures of one run; rates over the steps after the first.

    Args:
        tokens: that are no padding, of each step.
        steps: what each recorded.
    """
    first, final = watched.first, watched.last
    useful = sum(tokens[first:final])
    cpu = watched.cpu_seconds[final] - watched.cpu_seconds[first]
    wall = watched.wall_seconds[final] - watched.wall_seconds[first]
    on_cpu = watched.card_peak_bytes is None
    return {
        "useful_tokens": useful,
        "useful_tokens_per_second": round(useful / wall, 2),
        "useful_tokens_per_cpu_second": round(useful / cpu, 2),
        "first_step_cpu_seconds": round(watched.cpu_seconds[first], 2),
        "first_step_wall_seconds": round(watched.wall_seconds[first], 2),
        "utilisation": round(cpu / wall / _num_cpus(), 3) if on_cpu else watched.card_utilisation,
        "peak_allocated_bytes": steps[-1].get("peak_allocated_bytes"),
        "peak_reserved_bytes": steps[-1].get("peak_reserved_bytes"),
        "peak_device_bytes": watched.card_peak_bytes,
        "losses": [step["loss"] for step in steps],
        "last_loss": steps[-1]["loss"],
    }


def table(rounds: dict[str, list[dict[str, Any]]]) -> str:
    """Return medians, each with its least and greatest where they differ."""
    lines = ["| | " + " | ".join(COLUMNS.values()) + " | rounds |"]
    lines.append("|---" * (len(COLUMNS) + 2) + "|")
    for name, rows in rounds.items():
        cells = [_cell(key, [row[key] for row in rows]) for key in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {len(rows)} |")
    return "\n".join(lines)


def _cell(key: str, values: Sequence[float | None]) -> str:
    known = [one for one in values if one is not None]
    if not known:
        return "-"
    unit, digits = (2**30, 2) if key.endswith("_bytes") else (1, 4 if key == "last_loss" else 2)
    low, middle, high = (
        f"{one / unit:.{digits}f}" for one in (min(known), statistics.median(known), max(known))
    )
    text = middle if low == high else f"{middle} ({low} to {high})"
    return f"{text} GiB" if key.endswith("_bytes") else text


def _begun(args: argparse.Namespace) -> dict[str, Any]:
    """Return the result so far: an earlier file of the same work, or a new one."""
    facts = {
        "job": args.job,
        "steps": args.steps,
        "settings": args.set,
        "machine": _machine(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }
    if args.out and args.out.exists():
        earlier: dict[str, Any] = json.loads(args.out.read_text(encoding="utf-8"))
        differing = [key for key, value in facts.items() if earlier.get(key) != value]
        if differing:
            raise SystemExit(f"{args.out} was measured with other {', '.join(differing)}")
        return {"peers": {}, **earlier}
    empty: dict[str, Any] = {"rounds": {}, "failed": {}, "peers": {}}
    return {"date": time.strftime("%Y-%m-%d"), **facts, **empty}


def _versions_in(python: str) -> dict[str, str]:
    """Return the versions of an environment that the figures hang on, the peer's own included."""
    command = [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    versions = {one["name"].lower().replace("_", "-"): one["version"] for one in found}
    return {name: versions[name] for name in (*PACKAGES, *PEERS) if name in versions}


def _machine() -> dict[str, Any]:
    return {"cpus": _num_cpus(), "processor": _processor(), "card": _card()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _card() -> str | None:
    gpus = read_machine().gpus
    return gpus[0].name if gpus else None


def _num_cpus() -> int:
    return len(os.sched_getaffinity(0))


def _on_card(plan: Path) -> bool:
    device: str = json.loads(plan.read_text(encoding="utf-8"))["training"]["device"]
    return device == "cuda"


def _write(result: dict[str, Any], out: Path | None) -> None:
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
