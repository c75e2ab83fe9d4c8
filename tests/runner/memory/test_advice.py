"""Changes for a run that does not fit: true, ordered, ready to paste."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.load.overrides import key_path
from runner.memory.advice import advise
from runner.memory.cards import Card
from runner.memory.settings import Adapter, Quantization, Settings
from runner.spec import Job
from tests.runner.memory.models import architecture

LLAMA = architecture("Llama-3.1-8B")
GIB = 2**30
QLORA = Settings(
    method="qlora",
    rows=8,
    length=2048,
    quantization=Quantization(bits=4),
    adapter=Adapter(r=16, targets=None, dropout=0.05),
    checkpointing="off",
    accumulates=True,
)
FULL = Settings(method="full", rows=4, length=2048, weight_itemsize=4)


def card(gib: float) -> Card:
    return Card(name="a card", memory_bytes=int(gib * GIB), capability=(8, 6))


@pytest.mark.parametrize("settings", [QLORA, replace(QLORA, attention="eager"), FULL])
def test_every_change_saves_and_names_keys_of_a_job(settings: Settings) -> None:
    """What is advised lowers the peak, and each argument is a key that a job has."""
    for change in advise(LLAMA, settings, card(12), effective_batch_size=16):
        assert change.saved_bytes > 0
        for argument in change.arguments:
            section: Any = Job
            for key in key_path(argument.partition("=")[0]):
                section = section.model_fields[key].annotation


def test_a_smaller_batch_comes_first_and_keeps_the_effective_one() -> None:
    """It changes no result: micro-batch times accumulation stays what it was."""
    changes = advise(LLAMA, replace(QLORA, quantization=Quantization(bits=4, double_quant=True)),
                     card(30), effective_batch_size=16)  # fmt: skip
    values = dict(argument.split("=") for argument in changes[0].arguments)
    micro = int(values["train.per_device_train_batch_size"])
    assert micro * int(values["train.gradient_accumulation_steps"]) == 16


def test_one_change_is_enough_or_all_are_added_up() -> None:
    """Where no change alone is enough, the last line takes them together."""
    enough = advise(LLAMA, QLORA, card(24), effective_batch_size=16)
    assert any(change.is_enough for change in enough)
    assert "together" not in enough[-1].harm
    hopeless = advise(LLAMA, QLORA, card(4), effective_batch_size=16)
    assert "together" in hopeless[-1].harm
    assert hopeless[-1].saved_bytes >= max(change.saved_bytes for change in hopeless[:-1])


def test_more_layers_are_recomputed_in_two_steps() -> None:
    """From every fourth layer to every second, then to all: keys that a job can have together."""
    changes = advise(
        LLAMA, replace(QLORA, checkpointing="every_n", every_n=4), card(4), effective_batch_size=16
    )
    arguments = [change.arguments for change in changes]
    assert ("train.checkpoint_every_n=2",) in arguments
    assert ("train.gradient_checkpointing=full", "train.checkpoint_every_n=auto") in arguments
    assert "train.checkpoint_every_n=auto" in arguments[-1]
    assert "train.checkpoint_every_n=2" not in arguments[-1]


def test_a_base_held_dequantised_is_put_back_first() -> None:
    """A base that a lever unpacked is not advised to be quantised, but to stay packed."""
    dense = replace(QLORA, quantization=None)
    by_argument = {
        change.arguments[0]: change
        for change in advise(LLAMA, dense, card(24), effective_batch_size=16)
    }
    assert by_argument["speed.dense_base=false"].saved_bytes > 8 * GIB
    assert "method=qlora" not in by_argument


def test_all_weights_may_become_an_adapter() -> None:
    """Full fine-tuning on a small card is told of LoRA and QLoRA, each with what it saves."""
    changes = advise(LLAMA, FULL, card(24), effective_batch_size=16)
    by_argument = {change.arguments[0]: change for change in changes}
    assert by_argument["method=qlora"].is_enough
    assert by_argument["method=qlora"].saved_bytes > by_argument["method=lora"].saved_bytes
