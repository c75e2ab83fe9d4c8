"""Measured runs of others, in the form of `vram_points.yaml`, predicted by the same estimator.

Every value a field takes is read or refused with its line: a guess would look like a measurement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from env_check import support
from runner.errors import PlanError, Where
from runner.memory.architecture import Architecture, read_architecture
from runner.memory.cards import GIB
from runner.memory.estimate import estimate
from runner.memory.points_file import Row
from runner.memory.points_settings import UnknownValue, row_settings

NOT_STATED = re.compile(r"(not stated|\d+ ?GB)", re.IGNORECASE)  # "48GB-class" names no card


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What is predicted for one row."""

    allocated_bytes: int
    reserved_bytes: int
    device_bytes: int
    fits: bool | None  # None where the row does not say how much memory the card has
    unknown: tuple[str, ...] = ()  # what the row states and nobody knows, taken as not stated


def predict(row: Row, configs: Path) -> Prediction:
    """Predict one row.

    Raises:
        PlanError: a field is missing or holds what is not known here; names file and line.
    """
    try:
        return _predict(row.fields, configs)
    except UnknownValue as error:
        raise _refused(str(error), row.where(error.field)) from error
    except KeyError as error:
        raise _refused(f"the row lacks {error}", row.where("id")) from error
    except (TypeError, ValueError, AttributeError, ArithmeticError, OSError) as error:
        raise _refused(f"a value is of the wrong type: {error}", row.where("id")) from error
    except PlanError as error:
        error.where = row.where("config")
        raise


def _predict(row: Mapping[str, Any], configs: Path) -> Prediction:
    arch = row_architecture(row, configs)
    capability = row_capability(row)
    found = estimate(arch, row_settings(row, arch), capability)
    memory = row.get("gpu_memory_gib")
    is_unknown = capability is None and not _is_not_stated(row)
    return Prediction(
        allocated_bytes=found.allocated_bytes,
        reserved_bytes=found.reserved_bytes,
        device_bytes=found.device_bytes,
        fits=None if memory is None else found.device_bytes <= float(memory) * GIB,
        unknown=(f"gpu: {row['gpu']}",) if is_unknown else (),
    )


def _refused(what: str, where: Where) -> PlanError:
    return PlanError(
        id="plan-points-value",
        what=what,
        where=where,
        why="a prediction by a guessed setting would look like one by a known setting",
        fix="write one of the values that docs/memory.md lists for this field",
    )


def row_architecture(row: Mapping[str, Any], configs: Path) -> Architecture:
    """Return the architecture a row names, from its folder or written out in the row."""
    file = configs / str(row["config"]) / "config.json"
    if file.is_file():
        return read_architecture(json.loads(file.read_text(encoding="utf-8")))
    arch = row.get("arch")
    if not arch:
        raise UnknownValue("config", row["config"])
    if not str(arch.get("like", "")).startswith("llama-style"):
        raise UnknownValue("arch.like", arch.get("like"))
    built = read_architecture(
        {
            "model_type": "llama",
            "hidden_size": arch["hidden"],
            "num_hidden_layers": arch["layers"],
            "num_attention_heads": arch["heads"],
            "num_key_value_heads": arch["kv_heads"],
            "intermediate_size": arch["intermediate"],
            "vocab_size": arch["vocab"],
            "tie_word_embeddings": arch["tied"],
        }
    )
    return replace(built, has_qkv_bias="qkv bias" in arch["like"])


def row_capability(row: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the compute capability of a row's card, None where it is not stated or known."""
    card = _card(row)
    if card is None:
        return None
    major, minor, *_ = support.minor(card.capability)
    return major, minor


def _is_not_stated(row: Mapping[str, Any]) -> bool:
    name = row.get("gpu")
    return name is None or NOT_STATED.match(str(name)) is not None


def _card(row: Mapping[str, Any]) -> support.Gpu | None:
    if _is_not_stated(row):
        return None
    words = re.sub(r"^\d ?x ?", "", str(row["gpu"]).replace("-", " "))
    bare = re.sub(r"\b\d+ ?Gi?B\b", "", words).strip()
    for name in (words, bare):
        if card := support.gpu(name) or support.gpu(f"RTX {name}"):
            return card
    return None
