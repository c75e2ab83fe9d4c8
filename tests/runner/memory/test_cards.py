"""Cards by name, and the verdict on them."""

from __future__ import annotations

import pytest

from runner.errors import PlanError
from runner.machine import Gpu
from runner.memory.cards import GIB, card_of, known_cards, named_card, stand_in
from runner.memory.estimate import estimate
from runner.memory.fit import FITS, NO, TIGHT, cards_that_fit, judge, planned_memory
from runner.memory.settings import Settings
from tests.runner.memory.models import architecture

FOUND = estimate(architecture("Llama-3.2-1B"), Settings(method="full", rows=1, length=512))


@pytest.mark.parametrize(
    ("name", "gib"),
    [("RTX 4090", 23.5), ("T4", 14.56), ("a10g", 22.06), ("A100-SXM4-80GB", 78.4), ("H200", 138)],
)
def test_a_card_is_found_as_people_write_it(name: str, gib: float) -> None:
    """Its memory is what torch sees of it, less than on the box."""
    assert named_card(name).memory_bytes / GIB == pytest.approx(gib, rel=0.02)


def test_a_card_nobody_knows_is_refused() -> None:
    """A misspelt card is no card."""
    with pytest.raises(PlanError, match="plan-gpu-unknown"):
        named_card("RTX 9999 Ultra")


def test_a_stand_in_is_the_card_it_stands_for() -> None:
    """Planning for a card by name and having it give the same memory."""
    card = named_card("L4")
    back = card_of(stand_in(card))
    assert back is not None
    assert back.memory_bytes == pytest.approx(card.memory_bytes, abs=2)


def test_a_card_that_does_not_tell_its_memory_is_none() -> None:
    """Unified memory is reported as nothing: no verdict is made of it."""
    silent = Gpu(
        index=0, uuid="GPU-1", name="NVIDIA GB10", memory_bytes=0,
        compute_capability=(12, 1), driver="580.65.06",
    )  # fmt: skip
    assert card_of(silent) is None


def test_between_fits_and_does_not_fit_it_is_tight() -> None:
    """It fits with the expected slack, is tight without, and does not fit below the tensors."""
    assert judge(FOUND, FOUND.device_bytes) == FITS
    assert judge(FOUND, FOUND.device_bytes - 1) == TIGHT
    assert judge(FOUND, FOUND.least_bytes) == TIGHT
    assert judge(FOUND, FOUND.least_bytes - 1) == NO


def test_no_card_no_verdict() -> None:
    """Without a card, nothing is said to fit."""
    memory = planned_memory(FOUND, None, 512)
    assert (memory.verdict, memory.fits, memory.planned_card) == (None, None, None)


def test_the_cards_that_fit_are_those_with_enough() -> None:
    """Every card listed has the memory, every other has not, smallest first."""
    fitting = cards_that_fit(FOUND)
    sizes = [card.memory_bytes for card in fitting]
    assert sizes == sorted(sizes)
    assert min(sizes) >= FOUND.device_bytes
    assert len(fitting) == sum(c.memory_bytes >= FOUND.device_bytes for c in known_cards())
