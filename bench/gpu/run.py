"""Measure on a card what is still to be measured, as far as the time goes.

Usage: python -m bench.gpu.run [--minutes 9] [--done FILE] [--out FILE] [--only ITEM …] [--again]
           [--folder DIR] [--tiny] [--list]

Every item's result is written to --out as soon as it is there, beside those of --done, which are
not measured again. An item that failed is tried again by the next call. --tiny goes through all of
it with the model of the tests, on any device: the plumbing is shown to hold, nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.gpu.items import ITEMS, Place
from runner.machine import read_machine

PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "triton")


def main(arguments: Sequence[str] | None = None) -> int:
    args = _arguments(arguments)
    state = _state(args.done)
    if args.list:
        for name in ITEMS:
            print(f"{name:20} {'done' if _is_done(state, name) else 'to do'}")
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        place = Place(folder=args.folder or Path(temporary), is_tiny=args.tiny)
        place.folder.mkdir(parents=True, exist_ok=True)
        ends = time.monotonic() + args.minutes * 60
        for name in args.only or ITEMS:
            if _is_done(state, name) and not args.again:
                print(f"{name}: done before", flush=True)
            elif time.monotonic() + ITEMS[name].minutes * 60 * (not args.tiny) > ends:
                print(f"{name}: left for the next call", flush=True)
            else:
                state["items"][name] = _measured(name, place)
                args.out.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
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


def _measured(name: str, place: Place) -> dict[str, Any]:
    """Return an item's result with the machine it was had on, or how it failed."""
    print(f"{name} …", flush=True)
    started = time.monotonic()
    facts = {"date": time.strftime("%Y-%m-%d"), "card": _card(), "versions": _versions()}
    try:
        found = ITEMS[name].measure(place)
    except Exception as error:  # the next item has its own chance; this one is on record
        traceback.print_exc()
        facts["failed"] = f"{type(error).__name__}: {error}"[-2000:]
        found = {}
    seconds = round(time.monotonic() - started, 1)
    print(f"{name}: {seconds} s {json.dumps(found)[:400]}", flush=True)
    return {**facts, "is_tiny": place.is_tiny, "seconds": seconds, "result": found}


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
