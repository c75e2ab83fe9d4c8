"""Rules over GPU memory: who holds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Sizes:
    """What an out-of-memory text of PyTorch says, in GiB; None where it does not."""

    total: Optional[float]
    free: float
    own: Optional[float]  # allocated by this process
    reserved: float  # by this process, beyond `own` or in total

    def held_by_others(self) -> bool:
        """Tell whether others hold more than 40 % of the GPU."""
        if not self.total or self.own is None:
            return False
        return self.total - self.free - self.mine() > 0.4 * self.total

    def mine(self) -> float:
        return max(self.own or 0.0, self.reserved)


def _sizes(text: str) -> _Sizes:
    own = _gib(rf"allocated memory {_SIZE} is allocated by pytorch", text)
    own = own or _gib(rf"{_SIZE} already allocated", text)
    beyond = _gib(rf"{_SIZE} is reserved by pytorch but", text) or 0.0
    return _Sizes(
        total=_gib(rf"(?:total )?capacity (?:of )?{_SIZE}", text)
        or _gib(rf"{_SIZE} total capacity", text),
        free=_gib(rf"of which {_SIZE} is free", text) or _gib(rf"{_SIZE} free", text) or 0.0,
        own=own,
        reserved=max((own or 0.0) + beyond, _gib(rf"{_SIZE} reserved in total", text) or 0.0),
    )


def rule_oom(report: Report, found: Found) -> Iterator[Evidence]:
    """GPU memory is exhausted: by this job, or mostly by another process."""
    matches = [match for match in found.get("oom-cuda", []) if not _is_told(match)]
    if not matches:
        return
    text = max((match.line_lowered for match in matches), key=len)
    sizes = _sizes(text)
    lines = tuple(matches[:2])
    if sizes.held_by_others():
        why = f"This process holds {sizes.mine():.1f} of {sizes.total:.1f} GiB of the GPU."
        yield Evidence("oom_gpu_used_by_other_process", 0.93, why, lines, "oom")
        yield Evidence("oom_model_too_large", 0.5, "", lines, "oom")
        return
    is_sized = sizes.total is not None or sizes.own is not None or "tried to allocate" in text
    others = found.get("oom-process", [])
    if sizes.own is None and len(others) > 1:
        yield from _others("Several processes hold memory.", 0.85, others)
        yield Evidence("oom_model_too_large", 0.5, "", lines, "oom")
        return
    held = [match for match in found.get("smi-process", ()) if int(match.groups[0]) > 500]
    if sizes.own is None and len(held) > 1:
        yield from _others(f"{len(held)} processes hold GPU memory.", 0.85, held)
    full = [match for match in found.get("smi-memory", ()) if _is_full(match)]
    if full and not is_sized:
        yield from _others("The GPU is full before this job starts.", 0.85, full)
    yield from _others("", 0.6 if is_sized else 0.9, found.get("other-prose", []))
    yield Evidence("oom_model_too_large", 0.9 if is_sized else 0.65, "", lines, "oom")
    if not is_sized or others:
        yield Evidence("oom_gpu_used_by_other_process", 0.45, "", lines, "oom")


_TOLD = re.compile(
    r"\b(?:avoid\w*|prevent\w*|no (?:more|longer)|used to|previously|earlier|in the past|"
    r"last (?:week|time|month|year)|yesterday|if you (?:get|see|run|hit|have)|in case of|might|may|"
    r"could|would|without (?:any )?|never|not an?|isn't|instead of|had an?)\b"
    r"[^\n]{0,60}out of memory|"
    r"out of memory\b[^\n]{0,40}\b(?:is gone|(?:is|was|got) (?:fixed|solved)|no longer|went away|"
    r"(?:last|earlier|before) (?:week|time|month|today))"
)


def _is_told(match: Match) -> bool:
    """Tell whether a line speaks of a memory fault of other days, or of one to be avoided."""
    return bool(_TOLD.search(match.line_lowered)) and "allocate" not in match.line_lowered


def _others(why: str, strength: float, matches: list[Match]) -> Iterator[Evidence]:
    if matches:
        lines = tuple(matches[:3])
        yield Evidence("oom_gpu_used_by_other_process", strength, why, lines, "oom")


def rule_little_free(report: Report, found: Found) -> Iterator[Evidence]:
    """TensorFlow tells what is free at its start: next to nothing means a neighbour."""
    for match in found.get("tf-memory", ()):
        total, total_unit, free, free_unit = match.groups
        gib = {"g": 1.0, "m": 1 / 1024}
        if float(free) * gib[free_unit.lower()] < 0.25 * float(total) * gib[total_unit.lower()]:
            why = "Most of the GPU's memory is taken before the program begins."
            yield Evidence("oom_gpu_used_by_other_process", 0.75, why, (match,), "little-free")
            return


def rule_full_card(report: Report, found: Found) -> Iterator[Evidence]:
    """Somebody speaks of memory, and nvidia-smi shows a card that is full without a load."""
    idle = [match for match in found.get("smi-idle", ()) if _is_full(match)]
    if idle and "oom-said" in found and "oom-cuda" not in found:
        yield from _others("The GPU is full and computes nothing.", 0.8, idle)


def _is_full(match: Match) -> bool:
    used, total = (int(group) for group in match.groups)
    return used > 0.75 * total


RULES = (
    rule_oom,
    rule_little_free,
    rule_full_card,
)
