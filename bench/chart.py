"""Draw a result of bench.throughput as bars: useful tokens a second, longest first.

On a CPU tokens per cpu second, which a busy machine does not change; on a card tokens per second.

Usage: python -m bench.chart RESULT.json CHART.svg
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

WIDTH, BAR, GAP, LEFT, RIGHT, TOP = 760, 22, 10, 200, 130, 46
OURS, THEIRS = "#2b6cb0", "#a0aec0"
STYLE = "font: 13px system-ui, sans-serif; fill: #4a5568"  # readable on white and on black


def main(arguments: Sequence[str]) -> int:
    result = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    Path(arguments[1]).write_text(chart(result), encoding="utf-8")
    return 0


def chart(result: dict[str, Any]) -> str:
    """Return the SVG text of a result."""
    card = result["machine"]["card"]
    key = "useful_tokens_per_second" if card else "useful_tokens_per_cpu_second"
    medians = {
        name: statistics.median(row[key] for row in rows) for name, rows in result["rounds"].items()
    }
    names = sorted(medians, key=lambda name: medians[name], reverse=True)
    bars = [
        _bar(number, name, medians[name], max(medians.values()), _spread(result, name, key))
        for number, name in enumerate(names)
    ]
    height = TOP + len(names) * (BAR + GAP) + 8
    unit = "tokens per second" if card else "tokens per cpu second"
    title = f"Useful {unit}, {result['job']}: median, least and greatest"
    place = f"{card or result['machine']['processor']}, torch {result['versions']['torch']}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" role="img">\n'
        f"<title>{escape(title)}</title>\n"
        f'<text x="0" y="16" style="{STYLE}; font-weight: 600">{escape(title)}</text>\n'
        f'<text x="0" y="34" style="{STYLE}">{escape(place)}, {result["date"]}</text>\n'
        + "\n".join(bars)
        + "\n</svg>\n"
    )


def _spread(result: dict[str, Any], name: str, key: str) -> tuple[float, float]:
    values = [row[key] for row in result["rounds"][name]]
    return min(values), max(values)


def _bar(number: int, name: str, median: float, longest: float, spread: tuple[float, float]) -> str:
    y = TOP + number * (BAR + GAP)
    scale = (WIDTH - LEFT - RIGHT) / longest
    colour = OURS if name.startswith(("trainbox", "with")) else THEIRS
    text, middle = y + BAR - 6, y + BAR / 2
    low, high = (LEFT + value * scale for value in spread)
    return (
        f'<text x="{LEFT - 8}" y="{text}" text-anchor="end" style="{STYLE}">{escape(name)}</text>'
        f'<rect x="{LEFT}" y="{y}" width="{median * scale:.1f}" height="{BAR}" fill="{colour}"/>'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}" stroke="#1a202c"/>'
        f'<text x="{max(LEFT + median * scale, high) + 8:.1f}" y="{text}" style="{STYLE}">'
        f"{median:.0f}</text>"
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
