"""The estimate: components, moments, and what each setting does to them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.memory.estimate import estimate
from runner.memory.settings import Adapter, Quantization, Settings
from tests.runner.memory.models import architecture

LLAMA = architecture("Llama-3.1-8B")
QLORA = Settings(
    method="qlora",
    rows=2,
    length=2048,
    quantization=Quantization(bits=4, double_quant=True),
    adapter=Adapter(r=16, targets=None),
)
FULL = Settings(method="full", rows=1, length=512)
GIB = 2**30


def test_a_4_bit_base_takes_what_bitsandbytes_takes() -> None:
    """Llama-3.1-8B double-quantised: 3.35 GiB of blocks, 1.96 GiB of 16-bit embeddings."""
    weights = estimate(LLAMA, QLORA).peak.components["weights"]
    assert weights / GIB == pytest.approx(5.31, abs=0.01)


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ({"checkpointing": "off"}, {"checkpointing": "every_n", "every_n": 32}),
        (
            {"checkpointing": "every_n", "every_n": 8},
            {"checkpointing": "every_n", "every_n": 4},
        ),
        (
            {"quantization": None, "adapter": Adapter(r=16, targets=None)},
            {"quantization": None, "adapter": Adapter(r=16, targets=None, is_fused=True)},
        ),
        (
            {"quantization": None, "adapter": Adapter(r=16, targets=None)},
            {"quantization": None, "adapter": Adapter(r=16, targets=None, casts_input=False)},
        ),
        ({"checkpointing": "every_n"}, {"checkpointing": "full"}),
        ({"rows": 4}, {"rows": 2}),
        ({"length": 4096}, {"length": 2048}),
        ({"attention": "eager"}, {"attention": "masked"}),
        ({"attention": "masked"}, {"attention": "flash"}),
        ({"head": "hf"}, {"head": "trl"}),
        ({"quantization": Quantization(bits=8)}, {"quantization": Quantization(bits=4)}),
        (
            {"quantization": Quantization(bits=4)},
            {"quantization": Quantization(bits=4, double_quant=True)},
        ),
        ({"upcasts_for_kbit": True}, {"upcasts_for_kbit": False}),
        (
            {"adapter": Adapter(r=16, targets=None, dropout=0.1)},
            {"adapter": Adapter(r=16, targets=None)},
        ),
        ({"adapter": Adapter(r=64, targets=None)}, {"adapter": Adapter(r=16, targets=None)}),
        (
            {"adapter": Adapter(r=16, targets=None)},
            {"adapter": Adapter(r=16, targets=("q_proj", "v_proj"))},
        ),
        ({"optimizer": "adamw_torch_fused"}, {"optimizer": "adamw_8bit"}),
        ({"optimizer": "adamw_8bit"}, {"optimizer": "sgd"}),
        ({"stage": "dpo"}, {"stage": "sft"}),
    ],
)
def test_each_setting_costs_what_it_should(
    more: dict[str, object], less: dict[str, object]
) -> None:
    """The costlier of two settings needs more memory, everything else equal."""
    base = replace(QLORA, checkpointing="off")
    costly = estimate(LLAMA, replace(base, **more)).allocated_bytes
    cheap = estimate(LLAMA, replace(base, **less)).allocated_bytes
    assert costly > cheap


def test_full_fine_tuning_peaks_at_the_optimiser_step() -> None:
    """bf16 weights, gradients and two states, and with foreach one copy more: five times 2P."""
    found = estimate(LLAMA, replace(FULL, optimizer="adamw_torch"))
    assert found.peak.name == "step"
    assert found.allocated_bytes / (2 * 8_030_261_248) == pytest.approx(5, abs=0.01)


def test_the_fused_optimiser_makes_no_copy() -> None:
    """Without foreach's temporary the peak is lower by the size of the weights."""
    fused = estimate(LLAMA, FULL).allocated_bytes
    foreach = estimate(LLAMA, replace(FULL, optimizer="adamw_torch")).allocated_bytes
    assert (foreach - fused) / (2 * 8_030_261_248) > 0.9


def test_dpo_of_all_weights_holds_a_second_model() -> None:
    """The frozen reference has the size of the weights; precomputed it is not there."""
    dpo = replace(FULL, stage="dpo", rows=2)
    held = estimate(LLAMA, dpo).peak.components
    assert held["reference"] == held["weights"]
    precomputed = estimate(LLAMA, replace(dpo, precomputes_reference=True))
    assert precomputed.peak.components["reference"] == 0


def test_accumulated_gradients_stay_through_the_next_forward_pass() -> None:
    """With several micro-batches a step, gradients live in the loss too."""
    losses = [
        next(moment for moment in found.moments if moment.name == "loss").total_bytes
        for found in (estimate(LLAMA, replace(FULL, accumulates=flag)) for flag in (True, False))
    ]
    assert (losses[0] - losses[1]) / (2 * 8_030_261_248) == pytest.approx(1, abs=0.01)


def test_components_add_up_to_the_allocated_bytes() -> None:
    """Nothing is in the sum that is in no component."""
    found = estimate(LLAMA, QLORA)
    assert round(sum(found.peak.components.values())) == found.allocated_bytes
    assert found.allocated_bytes < found.reserved_bytes < found.device_bytes


def test_a_mixture_of_experts_keeps_its_experts_in_16_bits() -> None:
    """bitsandbytes packs linear modules; experts are 3-D parameters and stay as they are."""
    moe = replace(LLAMA, num_experts=8, experts_per_token=2)
    experts = 32 * 8 * 3 * 4096 * 14336 * 2
    found = estimate(moe, QLORA).peak.components
    assert experts < found["weights"] < experts + 3 * GIB
