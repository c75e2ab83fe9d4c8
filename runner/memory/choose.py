"""What `auto` becomes on a card: the fastest step that fits, the effective batch as asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runner.memory.estimate import Estimate
from runner.memory.fit import FITS, judge

# Below about 1500 tokens a micro step a card waits for Python and kernel launches, so a step of T
# tokens runs at T / (T + 1500) of the speed; recomputing costs a third of the time, every second
# layer half of that (docs/memory.md).
LAUNCH_TOKENS = 1500
SPEED = {"off": 1.0, "every_n": 0.85, "full": 0.72}
ENOUGH_TOKENS = 16_384  # more a micro step gains next to nothing
SHARE_FOR_AUTO = 0.92  # of the card: what we choose keeps a margin, if it can


@dataclass(frozen=True, kw_only=True)
class Step:
    """One way to run an optimiser step."""

    micro_batch_size: int
    checkpointing: str
    optim: str


def choose_step(
    micro_batch_sizes: Sequence[int],
    policies: Sequence[str],
    optims: Sequence[str],
    row_tokens: int,
    memory_bytes: int,
    estimate: Callable[[Step], Estimate],
) -> tuple[Step, bool]:
    """Return the fastest step that fits, and whether one fits at all.

    Args:
        micro_batch_sizes: what is allowed; divisors of the effective batch, or the one given.
        policies: checkpointing policies allowed.
        optims: optimisers allowed, best first; a later one is taken only where no other helps.
        row_tokens: tokens of the longest row of a micro-batch.
        memory_bytes: what torch can have of the card.
        estimate: predicts one step.
    """
    enough = [size for size in micro_batch_sizes if size * row_tokens <= ENOUGH_TOKENS]
    sizes = enough or [min(micro_batch_sizes)]
    for optim in optims:
        steps = [
            Step(micro_batch_size=size, checkpointing=policy, optim=optim)
            for size in sizes
            for policy in policies
        ]
        steps.sort(key=lambda step: speed(step, row_tokens), reverse=True)
        for share in (SHARE_FOR_AUTO, 1.0):
            for step in steps:
                if judge(estimate(step), int(memory_bytes * share)) == FITS:
                    return step, True
    return (
        Step(micro_batch_size=min(sizes), checkpointing=_least(policies), optim=optims[0]),
        False,
    )


def speed(step: Step, row_tokens: int) -> float:
    """Return the expected share of the card's full speed."""
    tokens = step.micro_batch_size * row_tokens
    return tokens / (tokens + LAUNCH_TOKENS) * SPEED[step.checkpointing]


def _least(policies: Sequence[str]) -> str:
    return min(policies, key=lambda policy: SPEED[policy])
