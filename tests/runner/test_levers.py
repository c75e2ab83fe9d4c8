"""Levers on the time of a step: what `auto` becomes where, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from runner.decide import Decisions
from runner.errors import PlanError
from runner.levers import PLAIN, Levers, decide_attention, decide_levers
from runner.machine import Gpu
from runner.memory.architecture import Architecture, read_architecture
from tests.runner.memory.models import config
from tests.runner.plans import tiny_job


def card(*capability: int) -> Gpu:
    return Gpu(
        index=0, uuid="GPU-0", name="a card", memory_bytes=24 * 2**30,
        compute_capability=(capability[0], capability[1]), driver="580.1",
    )  # fmt: skip


def arch(name: str = "Llama-3.2-1B") -> Architecture:
    return read_architecture(config(name))


def levers(
    gpu: Gpu | None = None, known: Architecture | None = None, **sections: Any
) -> tuple[Levers, str]:
    job, decide = tiny_job(**sections), Decisions()
    found = decide_levers(job, gpu, known, decide)
    return found, decide_attention(job, found, known, decide)


def test_an_unknown_model_gets_the_plain_path() -> None:
    """Nothing is assumed of a model whose attention and head are not known."""
    found, attention = levers(None, None)
    assert found == Levers(fused_adapters=True, uncast_inputs=True)
    assert attention == "sdpa"


def test_a_cpu_pads_nothing_and_computes_no_logit_twice() -> None:
    """On a CPU every lever that is exact there is pulled."""
    found, attention = levers(None, arch(), model={"name_or_path": "org/tiny", "dtype": "float32"})
    assert (found.padding_free, found.loss_head, found.fused_adapters) == (True, "one_pass", True)
    assert not (found.compile or found.tf32)
    assert attention == "varlen"


@pytest.mark.parametrize(("capability", "is_free"), [((7, 5), False), ((8, 0), True)])
def test_padding_goes_where_the_kernel_runs(capability: tuple[int, int], is_free: bool) -> None:
    """Cards before Ampere keep padded batches."""
    found, attention = levers(card(*capability), arch())
    assert found.padding_free == is_free
    assert attention == ("varlen" if is_free else "sdpa")
    assert not found.dense_base


def test_a_packed_job_needs_no_mask_on_any_card() -> None:
    """Packed rows attend sample by sample where there is no kernel."""
    packed = {"train": [{"path": "train.jsonl"}], "max_length": 64, "packing": True}
    assert levers(card(7, 5), arch(), data=packed)[1] == "varlen"


def test_a_small_base_is_held_dequantised_on_a_cpu() -> None:
    """Up to 2 GiB; a larger one stays in 4 bit."""
    small = {"name_or_path": "org/tiny", "dtype": "float32"}
    assert levers(None, arch("SmolLM2-360M"), model=small)[0].dense_base
    assert not levers(None, arch("Llama-3.1-8B"), model=small)[0].dense_base


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"stage": "dpo", "speed": {"padding_free": True}}, "speed.padding_free"),
        ({"method": "full", "speed": {"loss_head": "one_pass"}}, "speed.loss_head"),
        ({"method": "lora", "speed": {"dense_base": True}}, "speed.dense_base"),
        ({"lora": {"dropout": 0.1}, "speed": {"fused_adapters": True}}, "speed.fused_adapters"),
        ({"speed": {"compile": True}}, "speed.compile"),
        ({"lora": {"use_dora": True}, "speed": {"uncast_inputs": True}}, "speed.uncast_inputs"),
        (
            {
                "model": {"name_or_path": "org/tiny", "attn_implementation": "varlen"},
                "speed": {"padding_free": False},
            },
            "model.attn_implementation",
        ),
    ],
)
def test_what_cannot_be_had_is_refused(sections: dict[str, Any], key: str) -> None:
    """A lever that is asked for and would have no effect is an error that names its key."""
    with pytest.raises(PlanError) as caught:
        levers(None, arch(), **sections)
    assert caught.value.id == "plan-lever" and f"`{key}`" in caught.value.what


@pytest.mark.parametrize(
    ("sections", "is_uncast"),
    [
        ({}, True),
        ({"model": {"name_or_path": "org/tiny", "dtype": "float32"}}, False),
        ({"quantization": {"compute_dtype": "float32"}}, False),
        ({"lora": {"dropout": 0.1}}, False),
        ({"lora": {"dropout": 0.1}, "speed": {"uncast_inputs": True}}, True),
        ({"lora": {"use_dora": True}}, False),
        ({"method": "full"}, False),
    ],
)
def test_inputs_stay_narrow_where_the_bits_are_the_same(
    sections: dict[str, Any], is_uncast: bool
) -> None:
    """Where autocast narrows again what PEFT widened, and nothing happens between."""
    assert levers(None, arch(), **sections)[0].uncast_inputs == is_uncast


@pytest.mark.parametrize(
    ("gpu", "name", "sections", "is_possible"),
    [
        (card(8, 0), "Llama-3.2-1B", {}, True),
        (card(7, 0), "Qwen3-4B", {"method": "lora"}, True),
        (card(8, 0), "Phi-4-mini", {}, True),
        (None, "Llama-3.2-1B", {}, False),
        (card(6, 1), "Llama-3.2-1B", {}, False),
        (card(8, 0), "Gemma-2b", {}, False),
        (card(8, 0), "Llama-3.2-1B", {"method": "full"}, False),
        (card(8, 0), "Llama-3.2-1B", {"speed": {"compile": True}}, False),
    ],
)
def test_layer_kernels_are_for_models_and_cards_they_know(
    gpu: Gpu | None, name: str, sections: dict[str, Any], is_possible: bool
) -> None:
    """Never chosen while unmeasured; asked for, they are had or refused."""
    assert not levers(gpu, arch(name), **sections)[0].layer_kernels
    asked = {**sections, "speed": {**sections.get("speed", {}), "layer_kernels": True}}
    if is_possible:
        assert levers(gpu, arch(name), **asked)[0].layer_kernels
    else:
        with pytest.raises(PlanError, match="layer_kernels"):
            levers(gpu, arch(name), **asked)


def test_plans_of_before_trained_without_levers() -> None:
    """A plan.json without the field reads as the plain path."""
    assert PLAIN.loss_head == "trl"
    others = {key: value for key, value in vars(PLAIN).items() if key != "loss_head"}
    assert len(others) > 5 and not any(others.values())
