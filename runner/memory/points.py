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

from runner.errors import PlanError, Where
from runner.memory.architecture import Architecture, read_architecture
from runner.memory.estimate import Estimate, estimate
from runner.memory.points_file import Row
from runner.memory.settings import Adapter, Quantization, Settings

GIB = 2**30
# What the first word of `gpu` says about compute capability; memory stands in `gpu_memory_gib`.
CAPABILITY = {
    "T4": (7, 5), "V100": (7, 0), "A100": (8, 0), "A10G": (8, 6), "A10": (8, 6), "A6000": (8, 6),
    "RTX3090": (8, 6), "L4": (8, 9), "L40S": (8, 9), "RTX4090": (8, 9), "H100": (9, 0),
    "H200": (9, 0), "B200": (10, 0),
}  # fmt: skip
PEFT_CASTS_SINCE = (0, 14)  # lora layers cast their input outside autocast only before it


class UnknownValue(ValueError):
    """A field holds a value that is not known here."""

    def __init__(self, field: str, value: object) -> None:
        super().__init__(f"`{field}: {value}` is not known")
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What is predicted for one row."""

    allocated_bytes: int
    reserved_bytes: int
    device_bytes: int
    fits: bool | None  # None where the row does not say how much memory the card has


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
    except (TypeError, ValueError) as error:
        raise _refused(f"a value is of the wrong type: {error}", row.where("id")) from error
    except PlanError as error:
        error.where = row.where("config")
        raise


def _predict(row: Mapping[str, Any], configs: Path) -> Prediction:
    arch = row_architecture(row, configs)
    found = estimate(arch, row_settings(row, arch), row_capability(row))
    memory = row.get("gpu_memory_gib")
    return Prediction(
        allocated_bytes=found.allocated_bytes,
        reserved_bytes=found.reserved_bytes,
        device_bytes=found.device_bytes,
        fits=None if memory is None else fits(found, float(memory) * GIB),
    )


def _refused(what: str, where: Where) -> PlanError:
    return PlanError(
        id="plan-points-value",
        what=what,
        where=where,
        why="a prediction by a guessed setting would look like one by a known setting",
        fix="write one of the values that docs/memory.md lists for this field",
    )


def fits(found: Estimate, memory_bytes: float) -> bool:
    """Return whether a run works on a card, with the slack its allocator is expected to need."""
    return found.device_bytes <= memory_bytes


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
    """Return the compute capability of a row's card, None where it is not stated."""
    gpu = str(row.get("gpu", "not stated"))
    if gpu.startswith(("not stated", "24GB", "48GB", "80GB")):
        return None
    name = re.split(r"[- ]", gpu)[0]
    if name not in CAPABILITY:
        raise UnknownValue("gpu", gpu)
    return CAPABILITY[name]


def row_settings(row: Mapping[str, Any], arch: Architecture) -> Settings:
    """Return the settings of a row."""
    stack = str(row.get("stack") or row.get("source", ""))
    is_dpo = {None: False, "sft": False, "dpo": True}.get(row.get("algorithm"), None)
    if is_dpo is None:
        raise UnknownValue("algorithm", row["algorithm"])
    precision = _precision(row, stack)
    return Settings(
        method=_one_of(row, "method", ("full", "lora", "qlora")),
        stage="dpo" if is_dpo else "sft",
        rows=int(row["micro_batch"]) * (2 if is_dpo else 1),
        length=int(row["seq_len"]),
        quantization=_quantization(row.get("quant")),
        adapter=_adapter(row.get("lora"), arch, stack),
        attention=_attention(str(row.get("attention", "not stated"))),
        head=_head(str(row.get("logits", "not stated")), stack),
        kernels=_kernels(str(row.get("kernels", "")), str(row.get("logits", ""))),
        **_checkpointing(row),
        **_optimizer(str(row["optimizer"]), row),
        **precision,
    )


def _one_of(row: Mapping[str, Any], field: str, known: tuple[str, ...]) -> str:
    if row[field] not in known:
        raise UnknownValue(field, row[field])
    return str(row[field])


def _precision(row: Mapping[str, Any], stack: str) -> dict[str, Any]:
    text = str(row.get("precision", "bf16")).lower()
    if not re.search(r"bf16|fp16|fp32|float", text):
        raise UnknownValue("precision", text)
    is_mixed = "autocast" in text or "amp" in text
    denied = "no autocast" in text or "no amp" in text or "-true" in text
    # torchtune and litgpt compute in the weights' own type, HF's trainer under autocast.
    own_loop = "torchtune" in stack or "litgpt" in stack.lower()
    return {
        "weight_itemsize": 4 if text.startswith(("fp32", "float32")) else 2,
        "is_half": "fp16" in text and "bf16" not in text,
        "autocast": not denied and (is_mixed or not own_loop),
        "upcasts_for_kbit": "kbit" in text or "plugin off" in str(row.get("note", "")),
    }


def _quantization(quant: Mapping[str, Any] | None) -> Quantization | None:
    if quant is None:
        return None
    kind = str(quant["type"])
    if kind.startswith(("nf4", "fp4")):
        return Quantization(bits=4, double_quant=bool(quant.get("double_quant", False)))
    if kind.startswith(("int8", "llm.int8")):
        return Quantization(bits=8)
    raise UnknownValue("quant.type", kind)


def _adapter(lora: Mapping[str, Any] | None, arch: Architecture, stack: str) -> Adapter | None:
    if lora is None:
        return None
    itemsize = {"fp32": 4, "float32": 4, "bf16": 2, "fp16": 2}.get(str(lora["adapter_dtype"]))
    if itemsize is None:
        raise UnknownValue("lora.adapter_dtype", lora["adapter_dtype"])
    return Adapter(
        r=int(lora["r"]),
        targets=_targets(lora["targets"], arch),
        dropout=float(lora.get("dropout", 0.0)),
        itemsize=itemsize,
        casts_input=not _is_old_peft(stack),
    )


def _is_old_peft(stack: str) -> bool:
    version = re.search(r"peft (\d+)\.(\d+)", stack)
    return bool(version) and (int(version[1]), int(version[2])) < PEFT_CASTS_SINCE  # type: ignore[index]


# Names of the original code (Qwen 1: fused qkv; w1 and w2 are up and gate) and of litgpt's fused
# layers, as the modules they stand for.
ALIASES = {"c_attn": ("q_proj", "k_proj", "v_proj"), "w1": ("up_proj",), "w2": ("gate_proj",),
           "c_proj": ("o_proj", "down_proj")}  # fmt: skip
FUSED = {"q_proj": "qkv_proj", "gate_proj": "gate_up_proj"}


def _targets(targets: Any, arch: Architecture) -> tuple[str, ...] | None:
    if targets in ("all-linear", ["all-linear"]):
        return None
    names: list[str] = []
    for target in targets:
        names += ALIASES.get(target, (target,))
    if arch.is_fused:
        names = [FUSED.get(name, name) for name in names]
    return tuple(dict.fromkeys(names))


def _attention(text: str) -> str:
    for start, kind in (
        ("flash_attention", "flash"),
        ("sdpa (mem-efficient backend, KV heads expanded)", "mem_efficient"),
        ("sdpa", "flash"),
        ("flex", "flash"),
        ("eager", "eager"),
        ("not stated", "flash"),
    ):
        if text.startswith(start):
            return kind
    raise UnknownValue("attention", text)


def _head(text: str, stack: str) -> str:
    """Return how the loss is computed, by what the row and the versions say."""
    for start, kind in (
        ("hf_full_logits", "hf"),
        ("full_logits", "hf"),
        ("not stated", "hf"),
        ("fused_inplace_ce", "inplace"),
        ("unsloth CE", "inplace"),
        ("liger_fused_linear_ce", "liger"),
        ("cut_cross_entropy", "cut"),
        ("chunked cross-entropy, lm_head chunked", "chunked"),
        ("chunked/linear", "cut"),
        ("chunked_ce", "cut"),
        ("trl", "trl"),
    ):
        if text.startswith(start):
            return kind + (_loss_version(stack) if kind in ("hf", "inplace") else "")
    raise UnknownValue("logits", text)


def _loss_version(stack: str) -> str:
    """Return which copies of the logits the row's transformers made."""
    version = re.search(r"transformers (\d+)\.(\d+)", stack)
    if version is None:  # stacks that do not say are from 2024 or before
        return "" if re.search(r"202[5-9]|torch 2\.[7-9]", stack) else "_until_4_45"
    number = int(version[1]), int(version[2])
    if number >= (4, 50):
        return ""
    return "_until_4_49" if number >= (4, 46) else "_until_4_45"


def _kernels(text: str, logits: str) -> str:
    if text.startswith("fused") or "unsloth" in logits:
        return "fused"
    if text == "" or text.startswith(("stock", "LitGPT", "HF modules", "torchtune")):
        return "stock"
    raise UnknownValue("kernels", text)


def _checkpointing(row: Mapping[str, Any]) -> dict[str, Any]:
    value = row["gradient_checkpointing"]
    if value not in (True, False):
        raise UnknownValue("gradient_checkpointing", value)
    offloads = "offload" in str(row.get("stack", "")) + str(row.get("optimizer", ""))
    return {"checkpointing": "full" if value else "off", "offloads_checkpoints": offloads}


def _optimizer(text: str, row: Mapping[str, Any]) -> dict[str, Any]:
    kind = text.lower()
    if not kind.startswith(("adamw", "bnb pagedadamw", "paged", "sgd", "adafactor", "adam")):
        raise UnknownValue("optimizer", text)
    name = "adamw_torch"
    if "8bit" in kind or "8-bit" in kind:
        name = "adamw_8bit"
    elif "paged" in kind:
        name = "paged_adamw_32bit"
    elif kind.startswith("sgd"):
        name = "sgd"
    elif kind.startswith("adafactor"):
        name = "adafactor"
    elif "fused" in kind and "non-fused" not in kind:
        name = "adamw_torch_fused"
    has_master = "master" in kind or "master" in str(row.get("precision", ""))
    return {
        "optimizer": name,
        "has_master_weights": has_master,
        "state_itemsize": 4 if has_master else None,
        "steps_in_backward": "in-backward" in kind,
    }
