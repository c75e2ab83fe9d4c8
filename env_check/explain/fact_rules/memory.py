"""Rules over GPU memory: who holds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Optional

from env_check.explain.evidence import Evidence, Found
from env_check.explain.report import Report
from env_check.explain.scan import Match

_SIZE = r"([\d.]+) ?([gmk])i?b"


def _gib(pattern: str, text: str) -> Optional[float]:
    found = re.search(pattern, text)
    if not found:
        return None
    try:
        return float(found.group(1)) / {"g": 1, "m": 1024, "k": 1024**2}[found.group(2)]
    except ValueError:
        return None


def rule_oom(report: Report, found: Found) -> Iterator[Evidence]:
    """GPU memory is exhausted: by this job, or mostly by another process."""
    matches = found.get("oom-cuda", [])
    if not matches:
        return
    text = max((match.line_lowered for match in matches), key=len)
    total = _gib(rf"(?:total )?capacity (?:of )?{_SIZE}", text) or _gib(
        rf"{_SIZE} total capacity", text
    )
    free = _gib(rf"of which {_SIZE} is free", text) or _gib(rf"{_SIZE} free", text) or 0.0
    own = _gib(rf"allocated memory {_SIZE} is allocated by pytorch", text) or _gib(
        rf"{_SIZE} already allocated", text
    )
    reserved = _gib(rf"{_SIZE} is reserved by pytorch but", text) or 0.0
    reserved_total = _gib(rf"{_SIZE} reserved in total", text)
    mine = max((own or 0.0) + reserved, reserved_total or 0.0)
    lines = tuple(matches[:2])
    if total and own is not None and total - free - mine > 0.4 * total:
        why = f"This process holds {mine:.1f} of {total:.1f} GiB, and {free:.1f} GiB are free."
        yield Evidence("oom_gpu_used_by_other_process", 0.93, why, lines, "oom")
        yield Evidence("oom_model_too_large", 0.5, "", lines, "oom")
        return
    others = found.get("oom-process", [])
    sized = total is not None or own is not None or "tried to allocate" in text
    held = [match for match in found.get("smi-process", ()) if int(match.groups[0]) > 500]
    if len(held) > 1 and own is None:
        why = f"{len(held)} processes hold GPU memory."
        yield Evidence("oom_gpu_used_by_other_process", 0.85, why, tuple(held[:3]), "oom")
    if "other-prose" in found:
        others_lines = tuple(found["other-prose"][:1])
        yield Evidence(
            "oom_gpu_used_by_other_process", 0.9 if not sized else 0.6, "", others_lines, "oom"
        )
    full = [match for match in found.get("smi-memory", ()) if _is_full(match)]
    if full and not sized:
        why = "The GPU is full before this job starts."
        yield Evidence("oom_gpu_used_by_other_process", 0.85, why, tuple(full[:1]), "oom")
    if len(others) > 1 and own is None:
        yield Evidence(
            "oom_gpu_used_by_other_process",
            0.85,
            "Several processes hold memory.",
            tuple(others[:3]),
            "oom",
        )
        yield Evidence("oom_model_too_large", 0.5, "", lines, "oom")
        return
    yield Evidence("oom_model_too_large", 0.9 if sized else 0.65, "", lines, "oom")
    if not sized or others:
        yield Evidence("oom_gpu_used_by_other_process", 0.45, "", lines, "oom")


def rule_little_free(report: Report, found: Found) -> Iterator[Evidence]:
    """TensorFlow tells what is free at its start: next to nothing means a neighbour."""
    for match in found.get("tf-memory", ()):
        total, total_unit, free, free_unit = match.groups
        gib = {"g": 1.0, "m": 1 / 1024}
        if float(free) * gib[free_unit.lower()] < 0.25 * float(total) * gib[total_unit.lower()]:
            why = "Most of the GPU's memory is taken before the program begins."
            yield Evidence("oom_gpu_used_by_other_process", 0.75, why, (match,), "little-free")
            return


def _is_full(match: Match) -> bool:
    used, total = (int(group) for group in match.groups)
    return used > 0.75 * total


RULES = (
    rule_oom,
    rule_little_free,
)
