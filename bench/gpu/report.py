"""What the items of bench.gpu.run have found, as tables and as results of bench.throughput.

Usage: python -m bench.gpu.report bench/results/gpu.json [FOLDER]

Prints what was measured on which card, the peaks and the throughput tables; writes one file a model
into FOLDER, which `python -m bench.chart` draws.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.gpu.items import SIZES
from bench.throughput import table


def main(arguments: Sequence[str]) -> int:
    items = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))["items"]
    print(summary(items))
    print(f"\n{peaks(items)}")
    for size in SIZES:
        if found := merged(items, size):
            print(f"\n{size}\n\n{table(found['rounds'])}")
            if arguments[1:]:
                file = Path(arguments[1]) / f"{found['date']}-throughput-{size}.json"
                file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def summary(items: dict[str, Any]) -> str:
    """Return a line an item: done or how it failed, where and how long."""
    lines = ["| item | | card | seconds |", "|---|---|---|---|"]
    for name, item in items.items():
        state = f"failed: {str(item['failed'])[:80]}" if "failed" in item else "done"
        card = item["card"]["name"] if item["card"] else "none"
        lines.append(f"| {name} | {state} | {card} | {item['seconds']} |")
    return "\n".join(lines)


def peaks(items: dict[str, Any]) -> str:
    """Return the table of memory: measured, and how far off the plan was."""
    lines = ["| peak | measured | plan over measured |", "|---|---|---|"]
    for name, item in items.items():
        rows = item.get("result", {}).get("peaks", {}) if name.startswith("memory_peaks") else {}
        for peak, row in rows.items():
            gib = f"{row['measured_allocated_bytes'] / 2**30:.2f} GiB"
            off = row["planned_over_measured"]
            lines.append(f"| {peak} | {gib} | {'-' if off is None else f'{off:+.1%}'} |")
    return "\n".join(lines)


def merged(items: dict[str, Any], size: str) -> dict[str, Any] | None:
    """Return every round of a model as one result of bench.throughput; None before the first."""
    parts = [
        item["result"]
        for name, item in items.items()
        if name.startswith(f"{size}, ") and "failed" not in item
    ]
    if not parts:
        return None
    rounds: dict[str, list[Any]] = {}
    for part in parts:
        for variant, rows in part["rounds"].items():
            rounds.setdefault(variant, []).extend(rows)
    return {**parts[-1], "rounds": rounds}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
