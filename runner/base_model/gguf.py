"""A GGUF header → the configuration and tokenizer files of an ordinary Hugging Face folder.

Needs neither torch nor the package `gguf`, whose reader takes 2 s on a vocabulary of 49,152 tokens
(here: 0.04 s). Reads what the demo model needs, a llama with a byte-level BPE; the weights are
`runner.train.convert`. Format: docs/gguf.md in ggml-org/ggml.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

Header = dict[str, Any]

MAGIC = b"GGUF"
STRING, ARRAY = 8, 9
SCALARS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}  # as `struct` names them
UINT32, UINT64 = 4, 10
CONTROL_TOKEN = 3  # tokenizer.ggml.token_type of a special token


class GgufError(ValueError):
    """The file is not a GGUF header that can be turned into a model folder."""


def read_header(path: Path) -> Header:
    """Read the metadata of a GGUF file: key → value, arrays as lists.

    Raises:
        GgufError: not a GGUF file, of an unknown version, or cut off.
    """
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise GgufError("the file does not begin with `GGUF`")
        try:
            return _read_metadata(file)
        except (struct.error, UnicodeDecodeError, KeyError) as error:
            raise GgufError(f"the header is damaged: {error}") from error


def _read_metadata(file: BinaryIO) -> Header:
    def scalar(kind: int) -> Any:
        layout = struct.Struct("<" + SCALARS[kind])
        return layout.unpack(file.read(layout.size))[0]

    def string() -> str:
        num_bytes = scalar(UINT64)
        text = file.read(num_bytes)
        if len(text) != num_bytes:
            raise GgufError("the header is cut off")
        return text.decode("utf-8")

    def value(kind: int) -> Any:
        if kind == STRING:
            return string()
        if kind == ARRAY:
            item_kind, num_items = scalar(UINT32), scalar(UINT64)
            return [value(item_kind) for _ in range(num_items)]
        return scalar(kind)

    version = scalar(UINT32)
    if version not in (2, 3):
        raise GgufError(f"GGUF version {version}, not 2 or 3")
    scalar(UINT64)  # number of tensors
    return {string(): value(scalar(UINT32)) for _ in range(scalar(UINT64))}


def folder_files(header: Header) -> dict[str, str]:
    """Return the text of each file of a model folder, by its name; weights excepted.

    Raises:
        GgufError: another architecture, or another kind of tokenizer.
    """
    makers: dict[str, Callable[[Header], Any]] = {
        "config.json": config,
        "generation_config.json": generation_config,
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": tokenizer_config,
    }
    try:
        files = {
            name: json.dumps(make(header), indent=2, ensure_ascii=False) + "\n"
            for name, make in makers.items()
        }
        return files | {"chat_template.jinja": header["tokenizer.chat_template"]}
    except KeyError as error:
        raise GgufError(f"the header lacks {error}") from error


def config(header: Header) -> dict[str, Any]:
    """Return config.json, in the keys transformers 5 writes itself."""
    if header["general.architecture"] != "llama":
        raise GgufError(f"architecture {header['general.architecture']}, not llama")
    num_heads = header["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": header["tokenizer.ggml.bos_token_id"],
        "dtype": "bfloat16",
        "eos_token_id": header["tokenizer.ggml.eos_token_id"],
        "head_dim": header["llama.embedding_length"] // num_heads,
        "hidden_act": "silu",
        "hidden_size": header["llama.embedding_length"],
        "initializer_range": 0.02,
        "intermediate_size": header["llama.feed_forward_length"],
        "max_position_embeddings": header["llama.context_length"],
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": num_heads,
        "num_hidden_layers": header["llama.block_count"],
        "num_key_value_heads": header["llama.attention.head_count_kv"],
        "pad_token_id": header["tokenizer.ggml.padding_token_id"],
        "pretraining_tp": 1,
        # stored as float32: 9.999999747378752e-06 was written as 1e-05
        "rms_norm_eps": float(f"{header['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_parameters": {
            "rope_theta": float(header["llama.rope.freq_base"]),
            "rope_type": "default",
        },
        "tie_word_embeddings": True,  # the file holds no `output.weight`
        "use_cache": True,
        "vocab_size": header["llama.vocab_size"],
    }


def generation_config(header: Header) -> dict[str, Any]:
    """Return generation_config.json: the tokens at which an answer begins and ends."""
    return {
        "bos_token_id": header["tokenizer.ggml.bos_token_id"],
        "eos_token_id": header["tokenizer.ggml.eos_token_id"],
        "pad_token_id": header["tokenizer.ggml.padding_token_id"],
    }


def tokenizer(header: Header) -> dict[str, Any]:
    """Return tokenizer.json: byte-level BPE, every digit a token of its own.

    21 bytes have no token in this vocabulary and are dropped, as the public tokenizer does.
    """
    if (header["tokenizer.ggml.model"], header["tokenizer.ggml.pre"]) != ("gpt2", "smollm"):
        raise GgufError(f"tokenizer {header['tokenizer.ggml.pre']}, not smollm")
    tokens, kinds = header["tokenizer.ggml.tokens"], header["tokenizer.ggml.token_type"]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index, "content": token, **plain, "special": True}
            for index, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
            if kind == CONTROL_TOKEN
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {**byte_level, "add_prefix_space": False},
            ],
        },
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": header["tokenizer.ggml.merges"],
        },
    }


def tokenizer_config(header: Header) -> dict[str, Any]:
    """Return tokenizer_config.json.

    The class is the generic one, which takes tokenizer.json as it is: the public file's
    `GPT2Tokenizer` builds a pre-tokenizer of its own in transformers 5, without the digits.
    """
    tokens = header["tokenizer.ggml.tokens"]
    return {
        "add_prefix_space": False,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "bos_token": tokens[header["tokenizer.ggml.bos_token_id"]],
        "clean_up_tokenization_spaces": False,
        "eos_token": tokens[header["tokenizer.ggml.eos_token_id"]],
        "model_max_length": header["llama.context_length"],
        "pad_token": tokens[header["tokenizer.ggml.padding_token_id"]],
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": tokens[header["tokenizer.ggml.unknown_token_id"]],
    }
