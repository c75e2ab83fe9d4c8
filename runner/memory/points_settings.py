"""The settings a measured run states in words, read or refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runner.memory.architecture import Architecture
from runner.memory.parameters import layer_linears, vision_linears
from runner.memory.settings import Adapter, Quantization, Settings

# peft's 4-bit layers cast their input to the adapter's type under autocast too since then; before,
# only outside it.
PEFT_CASTS_SINCE = (0, 14)


class UnknownValue(ValueError):
    """A field holds a value that is not known here."""

    def __init__(self, field: str, value: object) -> None:
        super().__init__(f"`{field}: {value}` is not known")
        self.field = field


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
        adapter=_adapter(row, arch, stack),
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
    is_mixed = "autocast" in text or "amp" in text or "-mixed" in text
    denied = "no autocast" in text or "no amp" in text or "-true" in text
    is_wide = bool(re.search(r"^(fp|float)32|(fp|float)32 weights|-mixed", text))
    # torchtune and litgpt compute in the weights' own type, HF's trainer under autocast.
    own_loop = "torchtune" in stack or "litgpt" in stack.lower()
    return {
        "weight_itemsize": 4 if is_wide else 2,
        "is_half": "fp16" in text and "bf16" not in text,
        "autocast": not denied and (is_mixed or not own_loop),
        "upcasts_for_kbit": "kbit" in text or "plugin off" in str(row.get("note", "")),
    }


def _quantization(quant: Mapping[str, Any] | None) -> Quantization | None:
    if quant is None:
        return None
    kind = str(quant["type"]).lower()
    if re.match(r"(bnb\.)?(nf4|fp4)", kind):
        return Quantization(
            bits=4, double_quant=bool(quant.get("double_quant", kind.endswith("-dq")))
        )
    if re.match(r"gptq|awq", kind):  # a 16-bit scale for 128 weights: within 1 % of nested nf4
        return Quantization(bits=4, double_quant=True)
    if re.match(r"(bnb\.|llm\.)?int8", kind):
        return Quantization(bits=8)
    raise UnknownValue("quant.type", kind)


def _adapter(row: Mapping[str, Any], arch: Architecture, stack: str) -> Adapter | None:
    lora = row.get("lora")
    if lora is None:
        return None
    kind = str(lora.get("adapter_dtype", "fp32"))
    itemsize = {"fp32": 4, "float32": 4, "bf16": 2, "fp16": 2}.get(kind)
    if itemsize is None:
        raise UnknownValue("lora.adapter_dtype", kind)
    return Adapter(
        r=int(lora["r"]),
        targets=_targets(lora["targets"], arch),
        dropout=float(lora.get("dropout", 0.0)),
        itemsize=itemsize,
        casts_input=row.get("quant") is None or not _is_old_peft(stack),
    )


def _is_old_peft(stack: str) -> bool:
    version = re.search(r"peft (\d+)\.(\d+)", stack)
    return version is not None and (int(version[1]), int(version[2])) < PEFT_CASTS_SINCE


# The same layers under the names of the original code (Qwen 1: c_attn is q, k and v, w1 and w2
# are up and gate) and of fused modules.
SAME = {
    "c_attn": ("q_proj", "k_proj", "v_proj"),
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
    "w1": ("up_proj",),
    "w2": ("gate_proj",),
    "c_proj": ("o_proj", "down_proj"),
}
FUSED = {
    "q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj",
    "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj",
}  # fmt: skip


def _targets(targets: Any, arch: Architecture) -> tuple[str, ...] | None:
    if isinstance(targets, str):
        targets = [targets]
    if len(targets) == 1 and str(targets[0]).startswith("all"):
        return None
    present = {linear.name for linear in (*layer_linears(arch), *vision_linears(arch))}
    found: list[str] = []
    for target in targets:
        names = [target] if target in present else SAME.get(target, (target,))
        names = [name if name in present else FUSED.get(name, name) for name in names]
        if not set(names) <= present | {"lm_head"}:
            raise UnknownValue("lora.targets", target)
        found += names
    return tuple(dict.fromkeys(found))


def _attention(text: str) -> str:
    for start, kind in (
        ("flash_attention", "flash"),
        ("sdpa (mem-efficient backend, KV heads expanded)", "mem_efficient"),
        ("sdpa", "flash"),
        ("flex", "flash"),
        ("xformers", "flash"),
        ("FA2", "flash"),
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
    if text.startswith(("fused", "unsloth", "liger")) or "unsloth" in logits:
        return "fused"
    if text.startswith(("stock", "LitGPT", "HF modules", "torchtune")) or not text:
        return "stock"
    raise UnknownValue("kernels", text)


def _checkpointing(row: Mapping[str, Any]) -> dict[str, Any]:
    value = row["gradient_checkpointing"]
    if value not in (True, False, "offload", "unsloth"):
        raise UnknownValue("gradient_checkpointing", value)
    said = f"{value} {row.get('stack', '')} {row.get('optimizer', '')}"
    return {
        "checkpointing": "full" if value else "off",
        "offloads_checkpoints": bool(value) and ("offload" in said or value == "unsloth"),
    }


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
