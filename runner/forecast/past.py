"""How fast earlier runs like a planned one went on this machine, from their records."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.record.journal import read_events
from runner.record.layout import RunDir
from runner.record.state import list_runs

MOST_RUNS = 5  # the newest ones like it
LEAST_STEPS = 3  # of all of them together, their first steps left out


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Tokens a second of earlier runs: the slow and the fast tenth of their steps."""

    slow: float
    fast: float
    num_runs: int
    num_steps: int


def past_rates(root: Path, likeness: dict[str, Any]) -> Rates | None:
    """Return the speed of runs with the same likeness, None where there are too few steps.

    Args:
        root: the folder of all runs.
        likeness: of the planned run, see `likeness_of`.
    """
    rates: list[float] = []
    num_runs = 0
    for run in reversed(list_runs(root)):
        if num_runs == MOST_RUNS:
            break
        if likeness_of(_plan_facts(run)) != likeness:
            continue
        found = list(_rates_of(run))
        rates += found
        num_runs += bool(found)
    if len(rates) < LEAST_STEPS:
        return None
    tenths = statistics.quantiles(rates, n=10, method="inclusive")
    return Rates(slow=tenths[0], fast=tenths[-1], num_runs=num_runs, num_steps=len(rates))


def likeness_of(plan: dict[str, Any]) -> dict[str, Any]:
    """Return what of a plan (as JSON) decides its speed; empty where it is no plan."""
    try:
        training, memory = plan["training"], plan.get("memory")
        return {
            "model": plan["model"]["public_name"],
            "stage": plan["job"]["stage"],
            "method": plan["job"]["method"],
            "targets": plan["job"]["lora"]["target_modules"],
            "card": memory["card"] if memory else None,
            **{
                key: training[key]
                for key in (
                    "device",
                    "micro_batch_size",
                    "gradient_checkpointing",
                    "checkpoint_every_n",
                    "attn_implementation",
                    "compute_dtype",
                    "packing",
                    "num_threads",
                    "levers",
                )
            },
        }
    except (KeyError, TypeError):
        return {}


def _plan_facts(run: RunDir) -> dict[str, Any]:
    try:
        facts = json.loads(run.plan.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _rates_of(run: RunDir) -> Iterator[float]:
    """Yield tokens a second of every step but the first of an attempt, which warms up."""
    try:
        events = read_events(run.journal)
    except (OSError, ValueError):
        return
    is_first = True
    for event in events:
        if event["event"] == "start":
            is_first = True
        elif event["event"] == "step":
            if not is_first and (event.get("tokens_per_second") or 0) > 0:
                yield float(event["tokens_per_second"])
            is_first = False
