"""The settings a measured run states in words, read or refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from runner.memory.architecture import Architecture
from runner.memory.parameters import layer_linears, vision_linears
from runner.memory.settings import Adapter, Quantization, Settings

# peft's 4-bit layers cast their input to the adapter's type under autocast too since then; before,
# only outside it.
PEFT_CASTS_SINCE = (0, 14)
LINEAR_EXPERTS_UNTIL = 5  # of transformers


# The beginning of a field, lower-case → what it means here; the first that fits.
ATTENTION = (
    (r"sdpa \(mem-efficient backend, kv heads expanded\)", "mem_efficient"),
    (r"flash|fa[ -]?[234]|sdpa|flex|xformers|varlen|mem-eff", "flash"),
    (r"eager|math", "eager"),
)
HEADS = (
    (r"hf|full|standard|transformers", "hf"),
    (r"fused_inplace|in-?place|unsloth|foak", "inplace"),
    (r"liger|fused[_ ]linear", "liger"),
    (r"cut|cce", "cut"),
    (r"chunked cross-entropy, lm_head chunked", "chunked"),
    (r"chunked/linear|chunked|linear", "cut"),
    (r"trl", "trl"),
)
KERNELS = (
    (r"fused|unsloth|liger|foak|triton", "fused"),
    (r"$|stock|litgpt|hf|torchtune|transformers|peft|none|plain|axolotl|llama-?factory", "stock"),
)


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
        rows=_count(row, "micro_batch") * (2 if is_dpo else 1),
        length=_count(row, "seq_len"),
        quantization=_quantization(row.get("quant")),
        adapter=_adapter(row, arch, stack),
        attention=_attention(row),
        head=_head(row, stack),
        kernels=_kernels(row),
        has_linear_experts=_has_linear_experts(stack),
        **_checkpointing(row),
        **_optimizer(str(row["optimizer"]), row),
        **precision,
    )


def _count(row: Mapping[str, Any], field: str) -> int:
    number = int(row[field])
    if number < 1:
        raise UnknownValue(field, row[field])
    return number


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
    upcasts = "kbit" in text or "plugin off" in str(row.get("note", ""))
    return {
        "weight_itemsize": 4 if is_wide else 2,
        "is_half": "fp16" in text and "bf16" not in text,
        "autocast": not denied and (is_mixed or not own_loop),
        "upcasts_for_kbit": upcasts,
        "recasts_embeddings": upcasts and "bf16" in text and _is_old_trl(stack),
    }


def _is_old_trl(stack: str) -> bool:
    """`peft_module_casting_to_bf16`; stacks that do not say their TRL are older."""
    version = re.search(r"trl (\d+)\.", stack)
    return version is None or int(version[1]) < 1


def _quantization(quant: Mapping[str, Any] | None) -> Quantization | None:
    if quant is None:
        return None
    if isinstance(quant, str):
        quant = {"type": quant}
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
    if row["method"] == "full":
        return None
    if lora is None:
        raise UnknownValue("lora", None)
    kind = str(lora.get("adapter_dtype", "fp32"))
    itemsize = {"fp32": 4, "float32": 4, "bf16": 2, "fp16": 2}.get(kind)
    if itemsize is None:
        raise UnknownValue("lora.adapter_dtype", kind)
    return Adapter(
        r=int(lora["r"]),
        targets=_targets(lora["targets"], arch),
        dropout=float(lora.get("dropout") or 0.0),
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
        targets = re.split(r",\s*", targets)
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


def _attention(row: Mapping[str, Any]) -> str:
    """Return the kind of kernel; what is not stated is taken for a flash-type one."""
    return _match(row, "attention", ATTENTION, none="flash")


def _head(row: Mapping[str, Any], stack: str) -> str:
    """Return how the loss is computed, by what the row and the versions say."""
    kind = _match(row, "logits", HEADS, none="hf")
    return kind + (_loss_version(stack) if kind in ("hf", "inplace") else "")


def _match(
    row: Mapping[str, Any], field: str, known: Sequence[tuple[str, str]], *, none: str
) -> str:
    """Return the value of the first pattern that a field's text begins with."""
    value = row.get(field)
    text = "not stated" if value is None else str(value).lower()
    if text.startswith(("not stated", "unknown", "n/s", "default")):
        return none
    for pattern, kind in known:
        if re.match(pattern, text):
            return kind
    raise UnknownValue(field, value)


def _loss_version(stack: str) -> str:
    """Return which copies of the logits the row's transformers made."""
    version = re.search(r"transformers (\d+)\.(\d+)", stack)
    if version is None:  # stacks that do not say are from 2024 or before
        return "" if re.search(r"202[5-9]|torch 2\.[7-9]", stack) else "_until_4_45"
    number = int(version[1]), int(version[2])
    if number >= (4, 50):
        return ""
    return "_until_4_49" if number >= (4, 46) else "_until_4_45"


def _has_linear_experts(stack: str) -> bool:
    """transformers 5 made a layer's experts one parameter; stacks that do not say are older."""
    version = re.search(r"transformers (\d+)\.", stack)
    return version is None or int(version[1]) < LINEAR_EXPERTS_UNTIL


def _kernels(row: Mapping[str, Any]) -> str:
    if "unsloth" in str(row.get("logits", "")):
        return "fused"
    return _match(row, "kernels", KERNELS, none="stock")


def _checkpointing(row: Mapping[str, Any]) -> dict[str, Any]:
    value = row["gradient_checkpointing"]
    if isinstance(value, str):
        value = {"true": True, "full": True, "on": True, "false": False, "off": False}.get(
            value.lower(), value.lower()
        )
    if value not in (True, False, "offload", "unsloth"):
        raise UnknownValue("gradient_checkpointing", value)
    said = f"{value} {row.get('stack', '')} {row.get('optimizer', '')}"
    return {
        "checkpointing": "full" if value else "off",
        "offloads_checkpoints": bool(value) and ("offload" in said or value == "unsloth"),
    }


def _optimizer(text: str, row: Mapping[str, Any]) -> dict[str, Any]:
    kind = text.lower()
    if not kind.startswith(("adam", "bnb", "paged", "sgd", "adafactor", "fused adam")):
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
