"""A run in words: state, losses, files, and the command to go on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runner.progress import clock
from runner.record.layout import RunDir
from runner.record.state import RESUMABLE, RunState


def files_of(run: RunDir) -> dict[str, str]:
    """Return what exists in the run directory, name → path."""
    named = {
        "adapter": run.adapter,
        "model": run.model,
        "job": run.job,
        "plan": run.plan,
        "manifest": run.manifest,
        "journal": run.journal,
        "log": run.log,
        "rehearsal": run.rehearsal,
        "checkpoints": run.checkpoints,
    }
    return {name: str(path) for name, path in named.items() if path.exists()}


def render_state(run: RunDir, state: RunState) -> str:
    """Return the state as `key  value` lines, the next command last."""
    lines = [("run", state.run_id), ("state", state.status)]
    if state.reason:
        lines.append(("reason", state.reason))
    lines.append(("steps", f"{state.step} of {state.num_steps or '?'}"))
    if state.attempts > 1:
        lines.append(("attempts", str(state.attempts)))
    if state.loss is not None:
        lines.append(("training loss", f"{state.loss:.4f}"))
    lines += held_out_lines(state)
    if state.seconds is not None:
        lines.append(("time", f"{clock(state.seconds)}{_forecast(run)}"))
    if state.peak_memory_bytes:
        peak = f"{state.peak_memory_bytes / 2**30:.2f} GiB{_predicted(run)}"
        lines.append(("peak memory", peak))
    lines += [(name, _short(path)) for name, path in files_of(run).items()]
    is_left = state.status in ("running", "interrupted") and not state.is_attended
    if state.backend == "docker" and is_left:
        lines.append(("take it over", f"trainbox attach {state.run_id}"))
    if state.status in RESUMABLE:
        lines.append(("go on with", f"trainbox resume {state.run_id}"))
    return "\n".join(f"{name:14} {value}" for name, value in lines)


def held_out_lines(state: RunState) -> list[tuple[str, str]]:
    """Return the held-out loss before and after, with the change in percent."""
    before, after = state.loss_before, state.loss_after
    if before is None:
        return []
    if after is None:
        return [("held-out loss", f"{before:.4f} before training")]
    change = 100 * (after - before) / before if before else 0.0
    return [("held-out loss", f"{before:.4f} → {after:.4f} ({change:+.1f} %)")]


def _short(path: str) -> str:
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


def _planned(run: RunDir, part: str) -> Any:
    try:
        return json.loads(run.plan.read_text(encoding="utf-8")).get(part)
    except (OSError, ValueError):
        return None


def _forecast(run: RunDir) -> str:
    """Return the time that the plan had forecast; empty where it knew none."""
    forecast = _planned(run, "forecast")
    if not forecast or not forecast["seconds"]:
        return ""
    low, high = forecast["seconds"]
    return f" (forecast of training and evaluations: {clock(low)} to {clock(high)})"


def _predicted(run: RunDir) -> str:
    """Return what the plan predicted of a card's memory; empty where it planned for none."""
    memory = _planned(run, "memory")
    if not memory or not memory["card"]:
        return ""
    return f" (predicted {memory['allocated_bytes'] / 2**30:.2f})"
