"""The names of linear modules, and that transformers builds what the table says."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from runner.base_model.architecture import ATTENTION, LLAMA, MLP, TABLE, linear_modules


@pytest.mark.parametrize(
    ("model_type", "names"),
    [
        ("llama", "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj"),
        ("phi3", "qkv_proj o_proj gate_up_proj down_proj"),
        ("gpt2", "c_attn c_proj c_fc"),
        ("gpt_neox", "query_key_value dense dense_h_to_4h dense_4h_to_h"),
        ("mixtral", "q_proj k_proj v_proj o_proj"),
    ],
)
def test_known_family_has_its_modules(model_type: str, names: str) -> None:
    """The model type alone says which linear modules there are."""
    assert linear_modules({"model_type": model_type}, None) == tuple(names.split())


def test_options_change_the_modules() -> None:
    """Dense layers in a mixture, and latent attention without a query rank, are known."""
    sparse = {"model_type": "qwen3_moe", "mlp_only_layers": []}
    assert linear_modules(sparse, None) == ATTENTION
    assert linear_modules(sparse | {"mlp_only_layers": [0]}, None) == (*ATTENTION, *MLP)
    names = linear_modules({"model_type": "deepseek_v2", "q_lora_rank": None}, None)
    assert names is not None and "q_proj" in names and "q_a_proj" not in names


def test_unknown_family_without_weights_is_unknown(tmp_path: Path) -> None:
    """What cannot be known is None, not a guess."""
    assert linear_modules({"model_type": "new"}, None) is None
    assert linear_modules({"model_type": "new"}, tmp_path) is None


def test_unknown_family_is_read_from_its_weights(tmp_path: Path) -> None:
    """The header of a safetensors file names the matrices; embeddings and experts are left out."""
    shapes = {
        "model.embed_tokens.weight": [32, 8],
        "model.layers.0.attn.wq.weight": [8, 8],
        "model.layers.1.attn.wq.weight": [8, 8],
        "model.layers.0.attn.wq.bias": [8],
        "model.layers.0.norm.weight": [8],
        "model.layers.0.experts.0.w1.weight": [8, 8],
        "lm_head.weight": [32, 8],
    }
    tensors = {name: {"dtype": "F32", "shape": shape} for name, shape in shapes.items()}
    header = json.dumps({"__metadata__": {"format": "pt"}, **tensors}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert linear_modules({"model_type": "new"}, tmp_path) == ("wq",)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64, struct.pack("<Q", 4) + b"{{{{"])
def test_broken_weight_file_says_nothing(tmp_path: Path, content: bytes) -> None:
    """A torn or foreign file makes the architecture unknown, no traceback."""
    (tmp_path / "model.safetensors").write_bytes(content)
    assert linear_modules({"model_type": "new"}, tmp_path) is None


def test_no_family_names_a_module_twice() -> None:
    """Every row of the table is a set of names."""
    assert all(len(names) == len(set(names)) for names in TABLE.values())


# Defaults of these configurations are not of a whole model; the sizes are of no account.
READ_FROM_TRANSFORMERS = """
import json, logging, sys, warnings
import torch
from transformers import AutoModelForCausalLM, CONFIG_MAPPING
from transformers.pytorch_utils import Conv1D
warnings.simplefilter("ignore"); logging.disable(logging.CRITICAL)
heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 64, "head_dim": 16}
options = {"ministral": heads, "nemotron": heads, "hunyuan_v1_dense": heads,
           "lfm2": {"layer_types": ["conv", "full_attention"], "num_hidden_layers": 2}}
found = {}
for model_type in sys.argv[1:]:
    config = CONFIG_MAPPING[model_type](**options.get(model_type, {}))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings()
    found[model_type] = sorted({
        name.rpartition(".")[2] for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head
    })
print(json.dumps(found))
"""


@pytest.mark.slow
def test_table_is_what_transformers_builds() -> None:
    """Every family of the table, built on the meta device, has exactly the modules listed."""
    pytest.importorskip("transformers")
    done = subprocess.run(
        [sys.executable, "-c", READ_FROM_TRANSFORMERS, *TABLE],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found == {model_type: sorted(names) for model_type, names in TABLE.items()}
    assert set(found["smollm3"]) == set(LLAMA)
