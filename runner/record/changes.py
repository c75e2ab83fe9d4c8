"""What differs between the surroundings a run was in and those it would go on in.

Other libraries can change every bit without a word, and so they are refused unless forced. Other
code of ours, or another machine of the same kind, is allowed, said and recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Facts = Mapping[str, Any]
NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Differences as `what: was → is`, by what they mean for a run that goes on."""

    refused: list[str]
    noted: list[str]


def changes_of(before: Facts, now: Facts) -> Changes:
    """Compare the sections of two manifests.

    Args:
        before: the manifest that the newest attempt left.
        now: the surroundings of the attempt that is about to start.
    """
    return Changes(refused=_differing(before, now, REFUSED), noted=_differing(before, now, NOTED))


def _at(*path: str) -> Callable[[Facts], Any]:
    """Return a function that reads a value below sections, None where there is none."""

    def read(facts: Facts) -> Any:
        value: Any = facts
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    return read


def _lock(facts: Facts) -> str | None:
    name, digest = _at("lock", "name")(facts), _at("lock", "sha256")(facts)
    return f"{name} ({digest[:12]})" if name and digest else None


def _libraries(facts: Facts) -> dict[str, Any]:
    versions = facts.get("versions")
    known = versions if isinstance(versions, Mapping) else {}
    return {name: known.get(name) for name in known if name not in OURS}


OURS = ("trainbox", "mlflow", "mlflow-skinny")  # none of them decides what is trained
REFUSED: dict[str, Callable[[Facts], Any]] = {
    "lock": _lock,
    "base of the image": _at("image", "base"),
}
NOTED: dict[str, Callable[[Facts], Any]] = {
    "trainbox": _at("code", "version"),
    "code": _at("code", "commit"),
    "image": _at("image", "image_id"),
    "processor": _at("machine", "cpu", "model"),
    "processor's instructions": _at("machine", "cpu", "flags"),
    "gpus": _at("machine", "gpus"),
}


def _differing(
    before: Facts, now: Facts, readers: Mapping[str, Callable[[Facts], Any]]
) -> list[str]:
    values = {name: (read(before), read(now)) for name, read in readers.items()}
    if readers is REFUSED:
        was, is_now = _libraries(before), _libraries(now)
        values |= {name: (was.get(name), is_now.get(name)) for name in {**was, **is_now}}
    return [
        f"{name}: {_shown(was)} → {_shown(is_now)}"
        for name, (was, is_now) in values.items()
        if was != is_now
    ]


def _shown(value: Any) -> str:
    return NONE if value is None else str(value)
