"""`trainbox plan --trace`: the estimate beside the count of the model's own code."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.decide import training_settings
from runner.errors import PlanError
from runner.memory import weights
from runner.memory.architecture import Architecture
from runner.memory.cards import GIB
from runner.memory.estimate import Estimate, estimate
from runner.memory.settings import Settings
from runner.spec import Job

TRACED = ("forward", "loss", "backward", "backward_end", "embedding")  # moments of the trace


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Bytes alive at the worst moment of forward and backward pass, optimiser states left out."""

    counted_bytes: int
    predicted_bytes: int | None  # None where the model's memory is not known

    def render(self) -> str:
        """Return one line."""
        line = f"traced: {self.counted_bytes / GIB:.2f} GiB in forward and backward pass"
        if self.predicted_bytes is None:
            return line
        off = 100 * (self.predicted_bytes / self.counted_bytes - 1)
        return f"{line}; predicted for them: {self.predicted_bytes / GIB:.2f} GiB ({off:+.1f} %)"


def trace_job(
    job: Job, fields: dict[str, Any], longest: int, folder: Path, arch: Architecture | None
) -> Trace:
    """Count one step of a job with the model's own code; takes seconds to a minute.

    Args:
        fields: of a TrainingPlan.
        longest: tokens of the longest row.
        folder: holds the model's config.json.

    Raises:
        PlanError: the training stack is not installed here, or the model's code does not run.
    """
    settings = training_settings(job, fields, longest)
    # A process of its own: only there is torch imported.
    child = subprocess.run(
        [sys.executable, "-m", "runner.train.trace", str(folder / "config.json")],
        input=json.dumps(asdict(settings)),
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        raise _failed(child.stderr)
    found = json.loads(child.stdout.splitlines()[-1])
    return Trace(
        counted_bytes=found["weights_bytes"] + found["activations_bytes"],
        predicted_bytes=traced_part(estimate(arch, settings), arch, settings) if arch else None,
    )


def traced_part(found: Estimate, arch: Architecture, settings: Settings) -> int:
    """Return what of an estimate a trace counts: all but optimiser and library workspace."""
    moments = [moment for moment in found.moments if moment.name in TRACED]
    outside = weights.optimizer_bytes(arch, settings) + moments[0].components["workspace"]
    return round(max(moment.total_bytes for moment in moments) - outside)


def _failed(stderr: str) -> PlanError:
    last = next((line for line in reversed(stderr.splitlines()) if line.strip()), "no message")
    return PlanError(
        id="plan-trace-failed",
        what=f"the model's code could not be run without data: {last.strip()}",
        why="a count of half a step says nothing about the whole",
        fix="install the training stack (`make setup`), or plan without --trace",
    )
