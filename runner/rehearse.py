"""The rehearsal: the longest batch, an evaluation and a save, tried before the run exists.

A plan of two steps over the longest samples alone is trained by the same backend with the same
code in a folder of its own: a process of its own, so that no random number of the run is drawn.
Two steps, for the second is the first with the optimiser's states; the evaluation comes between
them, the checkpoint and the result after them.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from runner.backends.base import Backend
from runner.data.longest import write_longest
from runner.outcome import Outcome
from runner.plan import Plan, PreparedSplit
from runner.progress import PHASES
from runner.record.journal import Event, read_events
from runner.record.layout import SCHEMA_VERSION, RunDir
from runner.record.state import is_locked
from runner.supervise import Supervisor

NUM_STEPS = 2
MOST_MICRO_BATCHES = 2  # of a step: the second finds the gradients of the first
FOLDER = ".rehearsal"  # below the folder of all runs, beside them; and below the cache


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What a rehearsal measured; rehearsal.json of the run."""

    device: str  # cuda | cpu
    peak_memory_bytes: int  # as in the journal: of the card, or resident on a CPU
    predicted_bytes: int | None  # what the plan said of a card's memory; None without one
    step_seconds: float  # of the second step
    step_tokens: int
    checkpoint_bytes: int
    seconds: float  # of all of it

    @property
    def off_percent(self) -> float | None:
        """How far the prediction is from the measured peak."""
        if self.predicted_bytes is None:
            return None
        return 100 * (self.predicted_bytes / self.peak_memory_bytes - 1)

    def render(self) -> str:
        """Return one line: peak against plan, speed, size of a checkpoint, time."""
        peak = f"peak {self.peak_memory_bytes / 2**30:.2f} GiB"
        if self.predicted_bytes is not None:
            predicted = f"{self.predicted_bytes / 2**30:.2f}"
            peak += f" (planned {predicted}, {self.off_percent:+.1f} %)"
        return (
            f"rehearsed: longest batch, evaluation and save work; {peak}"
            f" · {self.step_tokens / self.step_seconds:,.0f} tokens/s"
            f" · checkpoint {self.checkpoint_bytes / 2**20:.1f} MiB · {self.seconds:.0f} s"
        )

    def write(self, run: RunDir) -> None:
        """Write it into the run, whole or not at all."""
        facts = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        aside = run.rehearsal.with_suffix(".tmp")
        aside.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        aside.replace(run.rehearsal)


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A rehearsal that did not come to its end."""

    outcome: Outcome
    log: Path
    fix: str | None  # what the training process itself advised


def rehearse(
    plan: Plan, backend: Backend, *, root: Path, cache: Path, say: Callable[[str], None]
) -> Rehearsal | Failed:
    """Try what a run would need, in folders that are gone afterwards, but for the log of a failure.

    Args:
        root: the folder of all runs.
        cache: trainbox's own, where training data may lie.

    Raises:
        BackendError: the training process cannot be started.
    """
    began = time.monotonic()
    run, data = _folder(root / FOLDER, plan.run_id), cache / FOLDER / plan.run_id
    try:
        data.mkdir(parents=True, mode=0o700)
        small = rehearsal_plan(plan, data)
        small.write(run.plan)
        outcome = _supervised(run, small, backend, say)
        events = read_events(run.journal)
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(data, ignore_errors=True)
    if outcome.status != "finished":
        failed = Failed(outcome=outcome, log=run.log, fix=_advice(run))
        _keep_log_alone(run)
        return failed
    shutil.rmtree(run.path, ignore_errors=True)
    return _measured(plan, events, time.monotonic() - began)


def _supervised(run: RunDir, plan: Plan, backend: Backend, say: Callable[[str], None]) -> Outcome:
    return Supervisor(
        run,
        plan,
        backend,
        on_event=lambda event: _show(event, say),
        on_terminal=lambda _: None,
        max_seconds=None,
        grace_seconds=plan.job["limits"]["grace_seconds"],
        say=say,
        may_revise=False,
    ).supervise()


def rehearsal_plan(plan: Plan, data: Path) -> Plan:
    """Return the plan of the rehearsal; write the samples it is made of.

    Args:
        data: an empty folder for them.
    """
    training = plan.training
    accumulation = min(training.gradient_accumulation_steps, MOST_MICRO_BATCHES)
    packed_to = plan.job["data"]["max_length"] if training.packing else None

    def longest(
        split: PreparedSplit, name: str, num_rows: int, packed: int | None
    ) -> PreparedSplit:
        return write_longest(split, data / f"{name}.npz", num_rows, packed_to=packed)

    rows = training.micro_batch_size * accumulation
    return replace(
        plan,
        job=plan.job
        | {
            "train": plan.job["train"] | {"eval_steps": None, "max_steps": NUM_STEPS},
            "checkpoint": plan.job["checkpoint"] | {"save_steps": NUM_STEPS, "save_minutes": None},
        },
        train_data=longest(plan.train_data, "train", rows, packed_to),
        eval_data=longest(plan.eval_data, "eval", training.micro_batch_size, None)
        if plan.eval_data
        else None,
        training=replace(
            training,
            num_steps=NUM_STEPS,
            warmup_steps=min(training.warmup_steps, NUM_STEPS),
            gradient_accumulation_steps=accumulation,
        ),
        sample_prompts=(),
    )


def _folder(home: Path, run_id: str) -> RunDir:
    """Return a new folder for a rehearsal; what earlier ones left is removed."""
    home.mkdir(parents=True, exist_ok=True)
    for left in home.iterdir():
        if not is_locked(RunDir(left)):
            shutil.rmtree(left, ignore_errors=True)
    run = RunDir(home / run_id)
    run.checkpoints.mkdir(parents=True)
    run.log.touch()
    return run


def _keep_log_alone(run: RunDir) -> None:
    for path in run.path.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path != run.log:
            path.unlink(missing_ok=True)


def _show(event: Event, say: Callable[[str], None]) -> None:
    if event["event"] == "phase":
        say(f"rehearsal: {PHASES.get(event['name'], event['name'])}")
    elif event["event"] == "warning":
        say(f"rehearsal: warning[{event['id']}]: {event['message']}")


def _advice(run: RunDir) -> str | None:
    """Return the fix in the training process's own fault; None where it named none."""
    try:
        fix = json.loads(run.failure.read_text(encoding="utf-8"))["fix"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(fix)


def _measured(plan: Plan, events: list[Event], seconds: float) -> Rehearsal:
    steps = [event for event in events if event["event"] == "step"]
    saved = [event for event in events if event["event"] == "checkpoint"]
    has_card = plan.training.device == "cuda" and plan.memory is not None
    return Rehearsal(
        device=plan.training.device,
        peak_memory_bytes=max(step["peak_memory_bytes"] for step in steps),
        predicted_bytes=plan.memory.allocated_bytes if has_card and plan.memory else None,
        step_seconds=steps[-1]["step_seconds"],
        step_tokens=steps[-1]["tokens"],
        checkpoint_bytes=saved[-1]["bytes"],
        seconds=seconds,
    )
