"""Whether a run fits a card, and what of it is written into the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.memory.cards import Card, known_cards
from runner.memory.estimate import Estimate

FITS, TIGHT, NO = "fits", "tight", "does not fit"


@dataclass(frozen=True, kw_only=True)
class PlannedMemory:
    """The predicted peak of device memory; a part of plan.json."""

    allocated_bytes: int  # as torch.cuda.max_memory_allocated
    reserved_bytes: int  # as torch.cuda.max_memory_reserved
    device_bytes: int  # as nvidia-smi shows for the process
    length: int  # tokens of the longest row it was predicted for
    moment: str  # the point of the step that needs the most
    components: dict[str, int]  # bytes at that moment, and what is outside the tensors
    moments: dict[str, int]  # allocated bytes at each point
    card: str | None  # name of the card planned for, None without one
    card_bytes: int | None  # what torch can have of it
    card_capability: tuple[int, int] | None
    verdict: str | None  # fits | tight | does not fit

    @property
    def planned_card(self) -> Card | None:
        """The card planned for."""
        if self.card is None or self.card_bytes is None:
            return None
        return Card(name=self.card, memory_bytes=self.card_bytes, capability=self.card_capability)

    @property
    def fits(self) -> bool | None:
        """True or False; None where it is tight, or no card is named."""
        return {FITS: True, NO: False}.get(self.verdict or "")


def judge(found: Estimate, memory_bytes: int) -> str:
    """Return `fits`, `does not fit`, or `tight`: where the allocator must waste little."""
    if found.device_bytes <= memory_bytes:
        return FITS
    return TIGHT if found.least_bytes <= memory_bytes else NO


def planned_memory(found: Estimate, card: Card | None, length: int) -> PlannedMemory:
    """Return what the plan says about memory."""
    peak = found.peak
    components = {name: round(value) for name, value in peak.components.items() if value}
    components["slack"] = round(found.outside.slack_bytes)
    components["context"] = round(found.outside.context_bytes)
    return PlannedMemory(
        allocated_bytes=found.allocated_bytes,
        reserved_bytes=found.reserved_bytes,
        device_bytes=found.device_bytes,
        length=length,
        moment=peak.name,
        components=components,
        moments={moment.name: round(moment.total_bytes) for moment in found.moments},
        card=card.name if card else None,
        card_bytes=card.memory_bytes if card else None,
        card_capability=card.capability if card else None,
        verdict=judge(found, card.memory_bytes) if card else None,
    )


def read_planned_memory(raw: Mapping[str, Any] | None) -> PlannedMemory | None:
    """Read what plan.json says about memory; plans from before the estimate say nothing."""
    if raw is None:
        return None
    capability = raw["card_capability"]
    return PlannedMemory(
        **{**raw, "card_capability": (capability[0], capability[1]) if capability else None}
    )


def cards_that_fit(found: Estimate) -> list[Card]:
    """Return the known cards a run fits, smallest memory first."""
    return [card for card in known_cards() if judge(found, card.memory_bytes) == FITS]
