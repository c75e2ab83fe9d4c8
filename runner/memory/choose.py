"""What `auto` becomes on a card: the fastest step that fits, the effective batch as asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runner.memory.estimate import Estimate
from runner.memory.fit import FITS, judge

# Below about 1500 tokens a micro step a card waits for Python and kernel launches, so a step of T
# tokens runs at T / (T + 1500) of the speed; recomputing all layers costs 0.39 of the time
# without, every n-th an n-th of that (docs/memory.md).
LAUNCH_TOKENS = 1500
RECOMPUTE_TIME = 0.39
ENOUGH_TOKENS = 16_384  # more a micro step gains next to nothing
SHARE_FOR_AUTO = 0.92  # of the card: what we choose keeps a margin, if it can


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Which layers are computed again in the backward pass."""

    checkpointing: str  # off | every_n | full
    every_n: int = 2  # has a meaning with every_n

    @property
    def speed(self) -> float:
        """The share left of the speed without recomputation."""
        share = {"off": 0.0, "every_n": 1 / self.every_n, "full": 1.0}[self.checkpointing]
        return 1 / (1 + RECOMPUTE_TIME * share)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One way to run an optimiser step."""

    micro_batch_size: int
    policy: Policy
    optim: str


def every_n_policies(num_layers: int) -> list[Policy]:
    """Return a policy for each number of layers that can be recomputed: with the least n."""
    least: dict[int, int] = {}
    for n in range(2, max(num_layers, 2) + 1):
        least.setdefault(-(-num_layers // n), n)
    return [Policy(checkpointing="every_n", every_n=n) for n in least.values()]


def choose_step(
    micro_batch_sizes: Sequence[int],
    policies: Sequence[Policy],
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
            Step(micro_batch_size=size, policy=policy, optim=optim)
            for size in sizes
            for policy in policies
        ]
        steps.sort(key=lambda step: speed(step, row_tokens), reverse=True)
        for share in (SHARE_FOR_AUTO, 1.0):
            for step in steps:
                if judge(estimate(step), int(memory_bytes * share)) == FITS:
                    return step, True
    return (
        Step(
            micro_batch_size=min(sizes),
            policy=min(policies, key=lambda policy: policy.speed),
            optim=optims[0],
        ),
        False,
    )


def speed(step: Step, row_tokens: int) -> float:
    """Return the expected share of the card's full speed."""
    tokens = step.micro_batch_size * row_tokens
    return tokens / (tokens + LAUNCH_TOKENS) * step.policy.speed
