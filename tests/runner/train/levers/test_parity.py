"""Each lever computes what the plain path computes: loss and gradients, within a stated tolerance.

In float32 1e-5 and less; in bfloat16 what its eight bits leave.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.levers import KEPT_APART
from runner.plan import read_plan
from runner.record.layout import RunDir
from tests.forked_trainer import ForkedTrainer
from tests.runner.train.watch import events, log_of
from tests.tiny import PUBLIC_NAME, tiny_run

PLAIN = {
    "padding_free": False, "loss_head": "trl", "dense_base": False, "fused_adapters": False,
    "uncast_inputs": False,
}  # fmt: skip


def hold(trainer: ForkedTrainer, check: str, *arguments: object, module: str = "checks") -> None:
    """Run a function of a module of checks where torch is imported."""
    code = f"from tests.runner.train.levers.{module} import {check} as check\ncheck(*arguments)"
    trainer.run_python(code, *map(str, arguments))


@pytest.mark.parametrize("model_type", KEPT_APART)
def test_logits_end_to_end_equal_those_alone(trainer: ForkedTrainer, model_type: str) -> None:
    """A sample among others gets the logits it gets alone, with every model `auto` lays so."""
    hold(trainer, "end_to_end_equals_alone", model_type, 0)


@pytest.mark.parametrize("model_type", ["mistral", "phi3", "olmo3"])
def test_sliding_windows_are_kept(trainer: ForkedTrainer, model_type: str) -> None:
    """A window shorter than the samples is the same window."""
    hold(trainer, "end_to_end_equals_alone", model_type, 4)


def test_no_attention_across_samples(trainer: ForkedTrainer) -> None:
    """Other tokens in the neighbours leave a sample's logits the same bits."""
    hold(trainer, "samples_see_themselves_alone")


@pytest.mark.parametrize("version", ["2.10", "2.13"])
def test_kernel_of_cards_gets_what_it_needs(trainer: ForkedTrainer, version: str) -> None:
    """Borders, scale, window and grouped heads reach torch's kernel as each version takes them."""
    hold(trainer, "kernel_gets_what_it_needs", version)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("has_bias", [False, True])
def test_head_equals_full_logits(trainer: ForkedTrainer, has_bias: bool, dtype: str) -> None:
    """Log-probabilities and their gradient are those of cross-entropy over all logits."""
    hold(trainer, "head_equals_full_logits", has_bias, dtype)


def test_head_of_a_model_equals_trls(trainer: ForkedTrainer) -> None:
    """The patched forward scores the same tokens as TRL's, and the layers below get the same."""
    hold(trainer, "head_of_a_model_equals_trls")


def test_head_without_supervised_tokens(trainer: ForkedTrainer) -> None:
    """A micro-batch without a token to score adds a zero that can be differentiated."""
    hold(trainer, "nothing_to_score_is_a_zero_with_a_gradient")


@pytest.mark.parametrize(
    ("method", "dtype"), [("lora", "float32"), ("lora", "bfloat16"), ("qlora", "float32")]
)
def test_fused_adapters_equal_pefts(
    trainer: ForkedTrainer, tiny_model: Path, method: str, dtype: str
) -> None:
    """Loss and every adapter's gradient are PEFT's, and stay float32."""
    hold(trainer, "fused_adapters_equal_pefts", tiny_model, method, dtype)


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_uncast_inputs_repeat_the_bits(
    trainer: ForkedTrainer, tiny_model: Path, method: str
) -> None:
    """Narrow inputs give PEFT's loss and gradients to the bit, one copy a layer fewer."""
    hold(trainer, "uncast_inputs_are_the_same_to_the_bit", tiny_model, method)


def test_fused_adapters_switch_off(trainer: ForkedTrainer, tiny_model: Path) -> None:
    """With the adapter off, the model is the base model, to the bit."""
    hold(trainer, "switched_off_is_the_base", tiny_model)


def test_dropout_and_dora_stay_with_peft(trainer: ForkedTrainer, tiny_model: Path) -> None:
    """A layer the function does not compute is left alone."""
    hold(trainer, "others_are_left_to_peft", tiny_model)


def test_dense_base_repeats_the_bits(trainer: ForkedTrainer, tiny_model: Path) -> None:
    """A base held dequantised gives the same loss and gradients, to the bit."""
    hold(trainer, "dense_base_is_the_same_to_the_bit", tiny_model)


def test_compiled_layers_compute_the_same(trainer: ForkedTrainer, tiny_model: Path) -> None:
    """Compiled decoder layers with fused adapters give the loss and gradients of plain ones."""
    hold(trainer, "compiled_layers_compute_the_same", tiny_model)


def losses(trainer: ForkedTrainer, run: RunDir) -> list[float]:
    assert trainer.train(run) == 0, log_of(run)
    return [step["loss"] for step in events(run, "step")]


def test_a_lone_sample_needs_no_kernel(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """Micro-batches of one sample learn what larger ones do: the same step, split otherwise."""
    runs = [
        tiny_run(
            tmp_path / str(micro),
            tiny_model,
            train={"per_device_train_batch_size": micro, "gradient_accumulation_steps": 4 // micro},
        )
        for micro in (1, 4)
    ]
    alone, together = (losses(trainer, run) for run in runs)
    assert alone == pytest.approx(together, rel=1e-5)
    assert "padding-free" not in log_of(runs[0])


@pytest.mark.parametrize(
    "policy",
    [
        {"gradient_checkpointing": "full"},
        {"gradient_checkpointing": "every_n"},
        {"gradient_checkpointing": "every_n", "checkpoint_every_n": 3},
    ],
    ids=["full", "every-second", "every-third"],
)
def test_checkpointing_recomputes_the_same(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path, policy: dict[str, Any]
) -> None:
    """Recomputed layers, all levers pulled, repeat the losses to the bit."""
    runs = [
        tiny_run(tmp_path / name, tiny_model, train=train)
        for name, train in (("less", policy), ("all", {"gradient_checkpointing": "off"}))
    ]
    recomputed, kept = (losses(trainer, run) for run in runs)
    assert recomputed == kept and len(kept) == 4


def test_packed_rows_need_no_mask(trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path) -> None:
    """Packed rows learn the same by varlen attention as under the mask transformers builds."""
    packed = {"train": [{"path": "train.jsonl"}], "max_length": 64, "packing": True}
    name = {"name_or_path": PUBLIC_NAME, "dtype": "float32"}
    runs = [
        tiny_run(
            tmp_path / attention,
            tiny_model,
            data=packed,
            model=name | {"attn_implementation": attention},
        )
        for attention in ("auto", "sdpa")
    ]
    assert read_plan(runs[0].plan).training.attn_implementation == "varlen"
    varlen, masked = (losses(trainer, run) for run in runs)
    assert varlen == pytest.approx(masked, rel=1e-5)


@pytest.mark.parametrize(("stage", "method"), [("sft", "qlora"), ("sft", "full"), ("dpo", "lora")])
def test_runs_with_and_without_levers_agree(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path, stage: str, method: str
) -> None:
    """A run with every lever at `auto` learns what the plain path learns: losses, tokens, norms."""
    plain = dict(PLAIN, dense_base="auto") if method != "qlora" else PLAIN
    runs = [
        tiny_run(tmp_path / name, tiny_model, stage=stage, method=method, speed=speed)
        for name, speed in (("auto", {}), ("plain", plain))
    ]
    ours, theirs = (read_plan(run.plan).training.levers for run in runs)
    assert ours != theirs
    for run in runs:
        assert trainer.train(run) == 0, log_of(run)
    steps = list(zip(*(events(run, "step") for run in runs), strict=True))
    assert len(steps) == 4
    for pulled, plain_step in steps:
        assert pulled["loss"] == pytest.approx(plain_step["loss"], rel=1e-5)
        assert pulled["grad_norm"] == pytest.approx(plain_step["grad_norm"], rel=1e-4)
        assert pulled["tokens"] == plain_step["tokens"]
    for pulled, plain_eval in zip(*(events(run, "eval") for run in runs), strict=True):
        assert pulled["loss"] == pytest.approx(plain_eval["loss"], rel=1e-5)
