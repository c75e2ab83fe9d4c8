"""The time computed for a card is a range that public runs fall into."""

from __future__ import annotations

import pytest

from runner.forecast.cards import card_speed
from runner.forecast.work import forward_share, training_work
from runner.memory.points import row_architecture, row_capability
from runner.memory.points_file import Row
from runner.memory.points_settings import row_settings
from runner.memory.settings import Adapter, Settings
from tests.runner.memory.models import CONFIGS, FIXTURES, architecture, measured_rows

CARDS = {"A100-80GB": "A100 80GB PCIe", "T4-16GB": "Tesla T4"}
LORA = Settings(method="lora", rows=4, length=2048, adapter=Adapter(r=16, targets=None))


def seconds_of(row: Row) -> tuple[float, float, float]:
    """Return measured, least and most seconds of a micro step."""
    fields = row.fields
    arch = row_architecture(fields, CONFIGS)
    settings = row_settings(fields, arch)
    speed = card_speed(CARDS[fields["gpu"]], row_capability(fields))
    assert speed is not None
    work = training_work(arch, settings, settings.length)
    return (settings.tokens / fields["tokens_per_s"], *work.seconds(settings.tokens, 1, speed))


def test_public_runs_fall_into_the_range() -> None:
    """Of the measured speeds on A100 and T4, nine of ten are inside, none is off by a half more."""
    rows = [
        row
        for row in measured_rows(FIXTURES / "points.yaml")
        if "tokens_per_s" in row.fields and row.fields["gpu"] in CARDS
        if row.fields.get("attention") != "eager"
    ]
    found = [seconds_of(row) for row in rows]
    inside = [low <= measured <= high for measured, low, high in found]
    assert len(found) >= 10
    assert sum(inside) / len(inside) >= 0.9
    assert all(low / 1.5 <= measured <= high * 1.5 for measured, low, high in found)


def test_recomputing_and_full_training_cost_more() -> None:
    """4 N without recomputation, 6 N with it, 8 N where all weights are trained too."""
    arch = architecture("Llama-3.1-8B")
    off, on, full = (
        training_work(arch, settings, 2048).flops_per_token
        for settings in (
            Settings(**{**vars(LORA), "checkpointing": "off"}),
            LORA,
            Settings(method="full", rows=4, length=2048),
        )
    )
    body = 6_979_321_856
    assert off == pytest.approx(4 * body, rel=0.2)
    assert on == pytest.approx(6 * body, rel=0.2)
    assert full == pytest.approx(8 * body, rel=0.2)


def test_an_evaluation_costs_a_forward_pass() -> None:
    """Between a quarter and a half of a training step's work."""
    assert 0.25 < forward_share(architecture("Llama-3.1-8B"), LORA, 2048) < 0.5


@pytest.mark.parametrize("name", ["a card of 2031", "Tesla P40"])
def test_a_card_that_is_not_tabled_has_no_speed(name: str) -> None:
    """Nothing is guessed for a card without tensor cores, or one that nobody knows."""
    assert card_speed(name, (6, 1)) is None
