"""The linear modules of a base model, by name, without torch: what a LoRA adapter can sit on.

`TABLE` was read off the modelling code of transformers 5.23.0, every class built on the meta device
(tests/runner/base_model/test_architecture.py does it again). It comes before the names in the
weight files: transformers 5 fuses and renames tensors while it loads, so that the `experts.0.w1`
of a checkpoint is no module. There the experts are 3-D parameters, and no adapter sits on them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
LLAMA = ATTENTION + MLP
NEOX = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
GPT2 = ("c_attn", "c_proj", "c_fc")  # transformers' Conv1D, which peft takes for linear
LATENT = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")
DELTA = ("in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj")
VISION = ("out_proj", "fc1", "fc2")

TABLE: Mapping[str, tuple[str, ...]] = {
    # dense decoders in the shape of Llama
    **dict.fromkeys(
        (
            "llama", "mistral", "ministral", "ministral3", "qwen2", "qwen3", "gemma", "gemma2",
            "gemma3_text", "olmo", "olmo2", "olmo3", "granite", "smollm3", "seed_oss", "stablelm",
            "cohere", "cohere2", "exaone4", "ernie4_5", "helium", "internlm3", "cwm", "bitnet",
            "hunyuan_v1_dense",
        ),
        LLAMA,
    ),
    "gemma3": (*LLAMA, *VISION),  # the vision tower is loaded with it
    "phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
    **dict.fromkeys(("glm", "glm4"), (*ATTENTION, "gate_up_proj", "down_proj")),
    **dict.fromkeys(("arcee", "apertus", "nemotron"), (*ATTENTION, "up_proj", "down_proj")),
    "nanochat": (*ATTENTION, "fc1", "fc2"),
    "phi": ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"),
    "starcoder2": (*ATTENTION, "c_fc", "c_proj"),
    "lfm2": ("q_proj", "k_proj", "v_proj", "out_proj", "in_proj", "w1", "w2", "w3"),
    # older decoders
    **dict.fromkeys(("gpt2", "gpt_bigcode"), GPT2),
    **dict.fromkeys(("gpt_neox", "bloom", "falcon", "persimmon"), NEOX),
    "gpt_neo": ("q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj"),
    "gptj": ("q_proj", "k_proj", "v_proj", "out_proj", "fc_in", "fc_out"),
    "codegen": ("qkv_proj", "out_proj", "fc_in", "fc_out"),
    "opt": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
    "mpt": ("Wqkv", "out_proj", "up_proj", "down_proj"),
    # mixtures of experts: attention, and the expert all tokens share
    **dict.fromkeys(("mixtral", "qwen3_moe", "olmoe", "granitemoe", "gpt_oss"), ATTENTION),
    "phimoe": (*ATTENTION, "router"),
    "qwen2_moe": (*LLAMA, "shared_expert_gate"),
    **dict.fromkeys(("glm4_moe", "ernie4_5_moe"), LLAMA),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3"), (*LATENT, *MLP)),
    **dict.fromkeys(("llama4", "llama4_text"), (*LLAMA, "router")),
    # linear attention and state spaces
    **dict.fromkeys(("qwen3_5", "qwen3_5_text"), (*LLAMA, *DELTA)),
    "qwen3_next": (
        *LLAMA, "in_proj_qkvz", "in_proj_ba", "out_proj", "shared_expert_gate",
    ),
    "falcon_h1": (*LLAMA, "in_proj", "out_proj"),
    "mamba": ("in_proj", "x_proj", "dt_proj", "out_proj"),
    "mamba2": ("in_proj", "out_proj"),
}  # fmt: skip


def linear_modules(config: Mapping[str, Any], folder: Path | None) -> tuple[str, ...] | None:
    """Return the last names of the linear modules, the output head left out.

    Args:
        config: the parsed config.json.
        folder: where weight files may stand; read only for an architecture not in the table.

    Returns:
        Names such as `q_proj`, or None where the architecture is not known.
    """
    model_type = str(config.get("model_type", ""))
    if model_type in TABLE:
        return _with_options(TABLE[model_type], config)
    names = dict.fromkeys(_names_in_weights(folder)) if folder is not None else {}
    return tuple(names) or None


def _with_options(names: tuple[str, ...], config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names with what an option of the configuration adds or replaces."""
    if "q_a_proj" in names and config.get("q_lora_rank", 0) is None:  # DeepSeek-V2-Lite
        names = ("q_proj", *(name for name in names if name not in ("q_a_proj", "q_b_proj")))
    if config.get("model_type") == "qwen3_moe" and (
        config.get("mlp_only_layers") or config.get("decoder_sparse_step", 1) > 1
    ):
        names = (*names, *MLP)  # some layers are dense
    if config.get("model_type") == "opt" and (
        config.get("word_embed_proj_dim") not in (None, config.get("hidden_size"))
    ):
        names = (*names, "project_in", "project_out")  # opt-350m
    return names


def _names_in_weights(folder: Path) -> Iterator[str]:
    """Yield the last module names of the matrices in a folder's safetensors files.

    Only the headers are read. Embeddings, output heads and experts are left out.
    """
    for file in sorted(folder.glob("*.safetensors")):
        for tensor, facts in _header(file).items():
            module, _, kind = tensor.rpartition(".")
            name = module.rpartition(".")[2]
            if kind != "weight" or len(facts.get("shape", ())) != 2 or name.isdigit():
                continue
            if ".experts." in tensor or name in ("lm_head", "embed_out", "output", "wte", "wpe"):
                continue
            if "embed" not in name:
                yield name


def _header(file: Path) -> dict[str, Any]:
    """Return the header of a safetensors file; empty where it is none.

    Eight bytes hold the length of the JSON that follows (github.com/huggingface/safetensors).
    """
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > 100_000_000:  # the format's own limit
                return {}
            header = json.loads(opened.read(length))
    except (OSError, ValueError, struct.error):
        return {}
    header.pop("__metadata__", None)
    return header if isinstance(header, dict) else {}
