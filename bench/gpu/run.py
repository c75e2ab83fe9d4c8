"""Measure on a card what is still to be measured, as far as the time goes.

Usage: python -m bench.gpu.run [--minutes 9] [--done FILE] [--out FILE] [--only ITEM …] [--again]
           [--folder DIR] [--tiny] [--list]

Each item runs in a process of its own, which is ended at its time limit or at the end of --minutes.
Its result is written to --out as soon as it is there, beside those of --done, which are not
measured again; what failed is tried again once everything else was tried. --tiny goes through all
of it with models of two layers, on any device: the plumbing is shown to hold, nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.gpu.items import ITEMS, Place
from bench.gpu.runs import end_tree
from runner.machine import read_machine

PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "triton")


def main(arguments: Sequence[str] | None = None) -> int:
    args = _arguments(arguments)
    state = _state(args.done)
    if args.list:
        for name in ITEMS:
            print(f"{name:50} {'done' if _is_done(state, name) else 'to do'}")
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        place = Place(folder=args.folder or Path(temporary), is_tiny=args.tiny)
        place.folder.mkdir(parents=True, exist_ok=True)
        ends = time.monotonic() + args.minutes * 60
        for name in _in_order(args.only or list(ITEMS), state):
            left = ends - time.monotonic()
            if _is_done(state, name) and not args.again:
                print(f"{name}: done before", flush=True)
            elif ITEMS[name].minutes * 60 * (not args.tiny) > left:
                print(f"{name}: left for the next call", flush=True)
            else:
                limit = left if args.tiny else min(ITEMS[name].limit_seconds, left)
                state["items"][name] = _measured(name, place, limit)
                _write(state, args.out)
    return 0 if all("failed" not in one for one in state["items"].values()) else 1


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.run", description=__doc__)
    parser.add_argument("--minutes", type=float, default=9.0, help="begin nothing longer")
    parser.add_argument("--done", type=Path, help="results so far")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--only", action="append", choices=ITEMS, help="(again for more)")
    parser.add_argument("--again", action="store_true", help="measure what is done, too")
    parser.add_argument("--folder", type=Path, help="for models and runs, kept")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--list", action="store_true", help="say what is done")
    return parser.parse_args(arguments)


def _state(done: Path | None) -> dict[str, Any]:
    if done is not None and done.exists():
        state: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return state
    return {"schema_version": 1, "items": {}}


def _is_done(state: dict[str, Any], name: str) -> bool:
    return name in state["items"] and "failed" not in state["items"][name]


def _in_order(names: Sequence[str], state: dict[str, Any]) -> list[str]:
    """Return the names, those that failed before last: they do not keep others from their turn."""
    return sorted(names, key=lambda name: "failed" in state["items"].get(name, {}))


def _measured(name: str, place: Place, limit_seconds: float) -> dict[str, Any]:
    """Return an item's result with the machine it was had on, or how it failed."""
    print(f"{name} …", flush=True)
    started = time.monotonic()
    file = place.folder / "item.json"
    file.unlink(missing_ok=True)
    # spawned: no item sees what another left of a card, and an ended one leaves nothing
    process = multiprocessing.get_context("spawn").Process(
        target=_measure, args=(name, place, file)
    )
    process.start()
    process.join(limit_seconds)
    if process.is_alive():
        assert process.pid is not None
        end_tree(process.pid)
        process.join()
        found = {"failed": f"ended after {limit_seconds:.0f} s"}
    elif file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))
    else:
        found = {"failed": f"its process ended with {process.exitcode}"}
    seconds = round(time.monotonic() - started, 1)
    print(f"{name}: {seconds} s {json.dumps(found)[:400]}", flush=True)
    facts = {"date": time.strftime("%Y-%m-%d"), "card": _card(), "versions": _versions()}
    return {**facts, "is_tiny": place.is_tiny, "seconds": seconds, **found}


def _measure(name: str, place: Place, file: Path) -> None:
    """Write an item's result, or how it failed; the whole of its process."""
    found: dict[str, Any] = {}
    try:
        result = ITEMS[name].measure(place)
        if failed := result.pop("failed", None):  # in parts: the others are kept
            found["failed"] = failed
        found["result"] = result
    except Exception as error:  # on record; the process must end with it written
        traceback.print_exc()
        found["failed"] = f"{type(error).__name__}: {error}"[-2000:]
    file.write_text(json.dumps(found), encoding="utf-8")


def _write(state: dict[str, Any], out: Path) -> None:
    """Replace the results: a call that is cut off leaves the earlier ones whole."""
    aside = out.with_suffix(".part")
    aside.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    os.replace(aside, out)


def _card() -> dict[str, Any] | None:
    gpus = read_machine().gpus
    return {"name": gpus[0].name, "driver": gpus[0].driver} if gpus else None


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return found


if __name__ == "__main__":
    raise SystemExit(main())
