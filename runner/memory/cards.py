"""GPUs by name, and how much of their memory a process can have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from runner.errors import PlanError
from runner.machine import Gpu

GIB = 2**30
# Of the memory on the box, torch sees: 14.56 of 16 GiB on a T4, 22.06 of 24 on an A10G (their ECC
# takes a sixteenth), 79.15 of 80 on an A100, 23.5 of 24 on an RTX 4090.
SHARE_GDDR_WITH_ECC = 0.91
SHARE_OTHER = 0.98
SHARE_OF_REPORTED = 0.97  # of what nvidia-smi reports as total
OLDEST = (5, 0)  # compute capability that the oldest image variant (cu126) runs on
HBM_GB_PER_SECOND = 1200  # above it a data-centre card has HBM, whose ECC takes no memory


@dataclass(frozen=True, kw_only=True)
class Card:
    """A card to plan for."""

    name: str
    memory_bytes: int  # what torch can have of it
    capability: tuple[int, int] | None


def named_card(name: str) -> Card:
    """Return the card of a name as a person writes it; of several sizes the smallest.

    `RTX 4090`, `a100-40gb`, `NVIDIA H200` are found.

    Raises:
        PlanError: no such card is tabled.
    """
    from env_check import support  # its tables: 50 ms that a plan without a card need not wait

    found = support.gpu(name)
    if found is None:
        raise PlanError(
            id="plan-gpu-unknown",
            what=f"no card called {name!r} is known",
            why="without its memory nothing can be said about the fit",
            fix="write it as nvidia-smi prints it, or give its memory: --memory-gib 24",
        )
    return _cards_of(
        found.name,
        found.capability,
        found.memory_gib,
        found.bandwidth_gb_per_second,
        found.kind,
    )[0]


def card_of(gpu: Gpu) -> Card | None:
    """Return a card of this machine, None where it does not say its memory (GB10)."""
    if not gpu.memory_bytes:
        return None
    return Card(
        name=gpu.name,
        memory_bytes=int(gpu.memory_bytes * SHARE_OF_REPORTED),
        capability=gpu.compute_capability,
    )


def stand_in(card: Card) -> Gpu:
    """Return a named card as if it were in this machine."""
    return Gpu(
        index=0,
        uuid="(planned for)",
        name=card.name,
        memory_bytes=math.ceil(card.memory_bytes / SHARE_OF_REPORTED),
        compute_capability=card.capability,
        driver="",
    )


@cache
def known_cards() -> tuple[Card, ...]:
    """Return every card our images run on, smallest memory first."""
    from env_check.tables import gpus  # the table alone: 20 ms less than all of `support`

    cards = [
        card
        for name, capability, _, memory_gib, bandwidth, kind, _ in gpus.GPUS
        if kind in ("datacenter", "workstation", "consumer") and _version(capability) >= OLDEST
        for card in _cards_of(name, capability, memory_gib, bandwidth, kind)
    ]
    return tuple(sorted(cards, key=lambda card: (card.memory_bytes, card.name)))


def _cards_of(
    name: str, capability: str, memory_gib: Sequence[int], bandwidth: float, kind: str
) -> list[Card]:
    has_ecc = kind != "consumer" and bandwidth < HBM_GB_PER_SECOND
    share = SHARE_GDDR_WITH_ECC if has_ecc else SHARE_OTHER
    return [
        Card(
            name=name if len(memory_gib) == 1 else f"{name} {gib} GB",
            memory_bytes=int(gib * share * GIB),
            capability=_version(capability),
        )
        for gib in sorted(memory_gib)
    ]


def _version(capability: str) -> tuple[int, int]:
    major, minor = (int(part) for part in capability.split("."))
    return major, minor
