"""Tokenizer folders for tests: tiny real tokenizers with the special tokens of real models."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

TEMPLATES = Path(__file__).parents[2] / "fixtures" / "data" / "templates"

# template → (bos, eos, further special tokens)
SPECIAL_TOKENS: dict[str, tuple[str | None, str, tuple[str, ...]]] = {
    "chatml": ("<|im_start|>", "<|im_end|>", ()),
    "marked": ("<|im_start|>", "<|im_end|>", ()),
    "headerless": ("<|im_start|>", "<|im_end|>", ()),
    "parts": ("<|im_start|>", "<|im_end|>", ()),
    "qwen3": (None, "<|im_end|>", ("<|im_start|>", "<|endoftext|>", "<think>", "</think>")),
    "llama3": ("<|begin|>", "<|eot_id|>", ("<|start_header_id|>", "<|end_header_id|>")),
    "phi4": (
        "<|endoftext|>",
        "<|endoftext|>",
        ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
    ),
    "gemma": ("<bos>", "<eos>", ("<start_of_turn>", "<end_of_turn>")),
    "inst": ("<s>", "</s>", ()),
    "zephyr": ("<s>", "</s>", ()),
    "nostop": ("<s>", "</s>", ()),
}

CORPUS = [
    "What is a fever? A fever is a body temperature above the usual range.",
    "user assistant system You are a careful assistant. Hello there, how are you today?",
    "Yes.\n\nNo.\n- one\n- two\n2,024 cases in 10 days",
    "[INST] Hello [/INST]",
    "Straße, naïve café, 体温, температура, 😀",
] * 8


def write_folder(
    folder: Path, template: str | None, kind: str = "byte", *, adds_eos: bool = False, **config: Any
) -> Path:
    """Write a tokenizer folder with a template of the fixtures.

    Args:
        kind: `byte` (GPT-2, Llama 3, Qwen) or `metaspace` (Llama 2, Mistral; adds BOS to text).
        adds_eos: whether the tokenizer itself ends every text with EOS.
        config: further entries of tokenizer_config.json.
    """
    bos, eos, more = SPECIAL_TOKENS[template or "inst"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(_trained(kind, bos, eos, more, adds_eos))
    facts: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": eos,
        "pad_token": eos,
        "clean_up_tokenization_spaces": False,
        **config,
    }
    if template is not None:
        facts["chat_template"] = (TEMPLATES / f"{template}.jinja").read_text()
    (folder / "tokenizer_config.json").write_text(json.dumps(facts))
    return folder


@cache
def _trained(kind: str, bos: str | None, eos: str, more: tuple[str, ...], adds_eos: bool) -> str:
    special = list(dict.fromkeys([token for token in (bos, eos) if token] + list(more)))
    made = _byte_level() if kind == "byte" else _metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=special if kind == "byte" else ["<unk>", *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if kind == "byte" else [],
        show_progress=False,
    )
    made.train_from_iterator(CORPUS, trainer)
    if kind == "byte":
        made.post_processor = processors.ByteLevel(trim_offsets=True)
    if (kind == "metaspace" and bos) or adds_eos:
        affixes = [token for token in (bos, eos) if token]
        made.post_processor = processors.TemplateProcessing(
            single=f"{bos or ''} $A {eos if adds_eos else ''}".strip(),
            special_tokens=[(token, made.token_to_id(token)) for token in affixes],
        )
    return str(made.to_str())


def _byte_level() -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def _metaspace() -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.decoder = decoders.Metaspace(prepend_scheme="first")
    return made
