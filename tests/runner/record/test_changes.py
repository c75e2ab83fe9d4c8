"""What may change between two attempts of a run, what may not, and what is only noted."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from runner.record.changes import changes_of

BEFORE: dict[str, Any] = {
    "lock": {"name": "cpu", "sha256": "a" * 64, "found_by": "stamp"},
    "image": None,
    "versions": {"python": "3.11.7", "torch": "2.13.0", "mlflow": "3.17.2", "trainbox": "0.1.0"},
    "code": {"version": "0.1.0", "commit": "abc", "is_dirty": False},
    "machine": {"cpu": {"model": "Xeon", "flags": ["avx2"]}, "gpus": [], "memory_bytes": 2**34},
}


def changed(section: str, value: Any) -> dict[str, Any]:
    now = copy.deepcopy(BEFORE)
    now[section] = now[section] | value if isinstance(now[section], dict) else value
    return now


def test_the_same_surroundings_differ_in_nothing() -> None:
    """Neither refused nor noted; how the lock was found does not matter."""
    same = changes_of(BEFORE, changed("lock", {"found_by": "image label"}))
    assert (same.refused, same.noted) == ([], [])


@pytest.mark.parametrize(
    ("section", "value", "said"),
    [
        ("lock", {"sha256": "b" * 64}, "lock: cpu (aaaaaaaaaaaa) → cpu (bbbbbbbbbbbb)"),
        ("lock", {"name": "cu130"}, "lock: cpu (aaaaaaaaaaaa) → cu130 (aaaaaaaaaaaa)"),
        ("versions", {"torch": "2.14.0"}, "torch: 2.13.0 → 2.14.0"),
        ("versions", {"peft": "0.21"}, "peft: none → 0.21"),
        ("image", {"base": "debian@sha256:1"}, "base of the image: none → debian@sha256:1"),
    ],
)
def test_other_software_is_refused(section: str, value: Any, said: str) -> None:
    """Another lock, library or image base is named with what it was and is."""
    changes = changes_of(BEFORE, changed(section, value))
    assert (changes.refused, changes.noted) == ([said], [])


@pytest.mark.parametrize(
    ("section", "value", "said"),
    [
        ("code", {"commit": "def"}, "code: abc → def"),
        ("machine", {"cpu": {"model": "EPYC", "flags": ["avx2"]}}, "processor: Xeon → EPYC"),
        ("image", {"image_id": "sha256:2"}, "image: none → sha256:2"),
    ],
)
def test_other_code_or_another_machine_is_noted(section: str, value: Any, said: str) -> None:
    """A run may move, and our code may move on: both are said."""
    changes = changes_of(BEFORE, changed(section, value))
    assert (changes.refused, changes.noted) == ([], [said])


def test_what_decides_no_bit_is_not_compared() -> None:
    """Another MLflow, or more memory, is nobody's business."""
    now = changed("versions", {"mlflow": "4.0"})
    now["machine"]["memory_bytes"] = 1
    assert changes_of(BEFORE, now) == changes_of(BEFORE, BEFORE)


def test_a_fact_that_became_unknown_is_a_change() -> None:
    """Unknown is never taken for equal."""
    now = changed("lock", {"x": 1}) | {"lock": {"unknown": "no stamp"}}
    assert changes_of(BEFORE, now).refused == ["lock: cpu (aaaaaaaaaaaa) → none"]
