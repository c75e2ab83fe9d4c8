"""The rehearsal of `trainbox train`: whether there is one, and what its failure says to change."""

from __future__ import annotations

from collections.abc import Callable

from runner.backends.base import Backend
from runner.commands.plan_memory import gib
from runner.decide import training_settings
from runner.errors import PlanError
from runner.memory.advice import advise
from runner.plan import Plan
from runner.predict import find_architecture
from runner.record.layout import cache_root, runs_root
from runner.rehearse import Failed, Rehearsal, rehearse
from runner.resolve import Resolved
from runner.revise import OUT_OF_MEMORY

NUM_CHANGES = 3  # of the plan's advice, the least harmful
ENDED_BY_A_SIGNAL = ("stopped", "preempted")


def wants_rehearsal(asked: bool | None, plan: Plan, *, begins: bool) -> bool:
    """Say whether to rehearse: as asked, else before a run that begins on a card."""
    return begins and plan.training.device == "cuda" if asked is None else asked


def rehearsal_of(
    plan: Plan, resolved: Resolved, backend: Backend, job_file: str, *, say: Callable[[str], None]
) -> Rehearsal | int:
    """Rehearse a run; return what was measured, or the exit code where a signal ended it.

    Raises:
        PlanError: the run would not work as it is planned.
    """
    say("rehearsal: the longest batch, an evaluation and a save (--no-rehearse leaves it out)")
    found = rehearse(plan, backend, root=runs_root(), cache=cache_root(), say=say)
    if isinstance(found, Rehearsal):
        say(found.render())
        return found
    if found.outcome.status in ENDED_BY_A_SIGNAL:
        say(f"rehearsal: {found.outcome.reason}; no run was begun")
        return found.outcome.exit_code
    raise rehearsal_failed(found, plan, resolved, job_file)


def rehearsal_failed(failed: Failed, plan: Plan, resolved: Resolved, job_file: str) -> PlanError:
    """Return the fault of a run that would not work: what to change, the least harmful first."""
    fix = failed.fix or f"read {failed.log}; --no-rehearse starts the run all the same"
    changes = _changes(plan, resolved) if failed.outcome.fault in OUT_OF_MEMORY else []
    if changes:
        fix = "one of these, the least harmful first:\n         " + "\n         ".join(changes)
    return PlanError(
        id="plan-rehearsal-failed",
        what=f"the longest batch, an evaluation or a save does not work: {failed.outcome.reason}",
        where=f"{job_file}, as rehearsed (log: {failed.log})",
        why="the run would fail at the same place, after hours perhaps; it was not begun",
        fix=fix,
    )


def _changes(plan: Plan, resolved: Resolved) -> list[str]:
    """Return the plan's smallest changes, each with what it saves of the card's memory."""
    card = plan.memory.planned_card if plan.memory else None
    arch = find_architecture(resolved.model.config)
    if card is None or arch is None or plan.memory is None:
        return []
    fields = vars(plan.training)
    settings = training_settings(resolved.loaded.job, fields, plan.memory.length)
    effective = fields["micro_batch_size"] * fields["gradient_accumulation_steps"]
    found = advise(arch, settings, card, effective_batch_size=effective)
    return [
        f"{change.paste}   (saves {gib(change.saved_bytes)}; {change.harm})"
        for change in found[:NUM_CHANGES]
    ]
