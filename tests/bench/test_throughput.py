"""The benchmark's arithmetic: rates, the table, the chart; no training."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from bench.chart import chart
from bench.throughput import _arguments, _rotated, _row, _variants, table
from bench.watch import Watched


def row(**changes: Any) -> dict[str, Any]:
    watched = Watched(
        cpu_seconds={1: 20.0, 3: 30.0},
        wall_seconds={1: 15.0, 3: 20.0},
        card_peak_bytes=None,
        card_utilisation=None,
    )
    steps = [{"loss": loss} for loss in (4.0, 3.5, 3.0)]
    return _row(watched, [999, 100, 50], steps) | changes


def test_the_first_step_does_not_count() -> None:
    """Rates are those of the steps after the first, whose tokens and seconds are the start's."""
    found = row()
    assert found["useful_tokens"] == 150
    assert found["useful_tokens_per_cpu_second"] == 15.0
    assert found["useful_tokens_per_second"] == 30.0
    assert found["first_step_cpu_seconds"] == 20.0
    assert found["last_loss"] == 3.0


def test_the_table_shows_median_and_spread() -> None:
    """A row a variant: the median, the least and the greatest; a dash where nothing is known."""
    rounds = {"TRL": [row(), row(useful_tokens_per_cpu_second=17.0)], "trainbox": [row()]}
    _, _, trl, ours = table(rounds).splitlines()
    assert "| 16.00 (15.00 to 17.00) |" in trl and trl.endswith("| 2 |")
    assert "| 15.00 |" in ours and "| - |" in ours


def test_rounds_begin_with_another_variant() -> None:
    """None is always first."""
    names = {"a": (), "b": (), "c": ()}
    assert [_rotated(names, turn)[0] for turn in range(4)] == ["a", "b", "c", "a"]


def test_a_variant_of_another_device_is_refused() -> None:
    """A name that this device has no variant for would measure nothing, without a word."""
    args = _arguments(["--only", "with compile"])
    assert list(_variants(args, on_card=True)) == ["with compile"]
    with pytest.raises(SystemExit, match="no variant"):
        _variants(args, on_card=False)


def test_the_chart_is_an_svg_with_a_bar_a_variant() -> None:
    """Longest first, named, with what was measured where."""
    result = {
        "date": "2026-11-21",
        "job": "jobs/demo.yaml",
        "machine": {"card": None, "processor": "a <processor>", "cpus": 1},
        "versions": {"torch": "2.13.0"},
        "rounds": {"TRL": [row()], "trainbox": [row(useful_tokens_per_cpu_second=30.0)]},
    }
    svg = ElementTree.fromstring(chart(result))
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(bar.attrib["width"]) for bar in svg.iter(f"{space}rect")]
    assert widths[0] == 2 * widths[1]
    assert "a <processor>, torch 2.13.0, 2026-11-21" in "".join(svg.itertext())
