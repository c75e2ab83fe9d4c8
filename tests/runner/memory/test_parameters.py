"""Architectures from config.json: parameters to the unit, strangers refused."""

from __future__ import annotations

import pytest

from runner.errors import PlanError
from runner.memory.architecture import read_architecture
from runner.memory.parameters import num_parameters
from tests.runner.memory.models import architecture, config

# Published counts (model cards; the sum of the tensors in the weight files).
PUBLISHED = {
    "Gemma-2b": 2_506_172_416,
    "Gemma-3-4b": 4_300_079_472,
    "Llama-2-13B": 13_015_864_320,
    "Llama-2-70B": 68_976_648_192,
    "Llama-3.1-8B": 8_030_261_248,
    "Llama-3.2-1B": 1_235_814_400,
    "Mistral-7B": 7_241_732_096,
    "Olmo-3-7B": 7_298_011_136,
    "Phi-2": 2_779_683_840,
    "Phi-4-mini": 3_836_021_760,
    "PowerLM-3b": 3_510_819_072,
    "Qwen2.5-1.5B": 1_543_714_304,
    "Qwen3-4B": 4_022_468_096,
    "TinyLlama-1.1B": 1_100_048_384,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_counted_to_the_unit(name: str) -> None:
    """config.json alone gives the number of parameters that the weights have."""
    assert num_parameters(architecture(name)) == PUBLISHED[name]


def test_an_unknown_architecture_is_refused() -> None:
    """A model type whose layers are not known is no Llama by default."""
    with pytest.raises(PlanError, match="plan-memory-architecture"):
        read_architecture(config("Llama-3.2-1B") | {"model_type": "rwkv"})


def test_a_missing_size_is_refused() -> None:
    """A configuration without its sizes says which one it lacks."""
    raw = config("Llama-3.2-1B")
    del raw["intermediate_size"]
    with pytest.raises(PlanError, match="intermediate_size"):
        read_architecture(raw)
