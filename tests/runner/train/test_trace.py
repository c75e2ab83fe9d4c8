"""The estimate against the oracle: the real model code on tensors without data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runner.commands.plan_trace import traced_part
from runner.memory import weights
from runner.memory.architecture import read_architecture
from runner.memory.estimate import estimate
from runner.memory.settings import Adapter, Quantization, Settings
from tests.runner.memory.models import CONFIGS, config_files

NF4 = Quantization(bits=4, double_quant=True)
ALL, NARROW = Adapter(r=16, targets=None), Adapter(r=16, targets=None, itemsize=2)
ATTENTION = Adapter(r=8, targets=("q_proj", "v_proj"), dropout=0.05)
STEP = Settings(method="qlora", rows=1, length=1024, quantization=NF4, adapter=ALL)
OURS = replace(ALL, is_fused=True, casts_input=False)
LORA = replace(STEP, method="lora", quantization=None)
MODES = {
    "qlora": STEP,
    "qlora-kept": replace(STEP, checkpointing="off"),
    "qlora-16-bit-adapters": replace(STEP, adapter=NARROW),
    "qlora-full-logits": replace(STEP, head="hf"),
    "lora-every-second": replace(
        STEP, method="lora", quantization=None, checkpointing="every_n", every_n=2
    ),
    "lora-attention": replace(STEP, method="lora", quantization=None, adapter=ATTENTION),
    "lora-padded": replace(
        STEP, method="lora", quantization=None, rows=2, length=512, attention="masked"
    ),
    "qlora-ours": replace(STEP, adapter=OURS),
    "qlora-ours-kept": replace(STEP, adapter=OURS, checkpointing="off"),
    "lora-ours-every-third": replace(LORA, adapter=OURS, checkpointing="every_n", every_n=3),
    "lora-uncast": replace(LORA, adapter=replace(ALL, casts_input=False), checkpointing="off"),
    "lora-dropout-uncast": replace(
        LORA, adapter=replace(ALL, dropout=0.05, casts_input=False), checkpointing="off"
    ),
    "qlora-dropout": replace(STEP, adapter=replace(ALL, dropout=0.05), checkpointing="off"),
    "qlora-one-pass": replace(STEP, adapter=OURS, head="one_pass"),
    "full": replace(STEP, method="full", quantization=None, adapter=None),
    "full-kept": replace(STEP, method="full", quantization=None, adapter=None, checkpointing="off"),
    "full-float32": replace(
        STEP, method="full", quantization=None, adapter=None, weight_itemsize=4
    ),
}
NUM_LAYERS = 4
FILES = config_files()


def check(file: Path, mode: str) -> None:
    from runner.train.trace import trace  # torch and transformers: seconds

    settings = MODES[mode]
    found = trace(str(file), settings, NUM_LAYERS)
    counted = found["weights_bytes"] + found["activations_bytes"]
    raw = json.loads(file.read_text(encoding="utf-8"))
    arch = replace(read_architecture(raw), num_layers=NUM_LAYERS)
    predicted = traced_part(estimate(arch, settings), arch, settings)
    assert predicted / counted == pytest.approx(1, abs=0.03)
    assert found["num_trained"] == weights.num_trained(arch, settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "mode"),
    [
        pytest.param(file, mode, id=f"{file.parent.name}-{mode}")
        for number, file in enumerate(FILES)
        for mode in [list(MODES)[number % len(MODES)]]
    ],
)
def test_formula_and_trace_agree_on_every_architecture(file: Path, mode: str) -> None:
    """Four layers of each architecture, one way of training each: within 3 %."""
    check(file, mode)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Llama-3.2-1B", "Gemma-3-4b", "Qwen3-30B-A3B"])
@pytest.mark.parametrize("mode", ["qlora", "full"])
def test_formula_and_trace_agree_on_what_is_special(name: str, mode: str) -> None:
    """A tied head, an image tower nobody looks through, a mixture of experts: within 3 %."""
    check(CONFIGS / name / "config.json", mode)


def test_the_formula_agrees_with_the_trace_of_one_model() -> None:
    """The pair that every run of the tests compares."""
    check(CONFIGS / "TinyLlama-1.1B" / "config.json", "qlora")
