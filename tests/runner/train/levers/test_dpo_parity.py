"""The loss of preferences is TRL's to the bit, without what TRL measures beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.forked_trainer import ForkedTrainer
from tests.runner.train.levers.test_parity import PLAIN, hold
from tests.tiny import tiny_run


@pytest.mark.parametrize(
    ("method", "loss_type"),
    [("lora", "sigmoid"), ("lora", "hinge"), ("lora", "ipo"), ("full", "sigmoid")],
)
def test_loss_and_gradients_are_trls(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path, method: str, loss_type: str
) -> None:
    """Equal bits of loss and gradients, equal rewards; of 19 numbers the host reads 4."""
    run = tiny_run(
        tmp_path / "run", tiny_model, stage="dpo", method=method, dpo={"loss_type": loss_type},
        speed=dict(PLAIN, dense_base="auto", fused_adapters="auto" if method == "full" else False),
    )  # fmt: skip
    hold(trainer, "loss_equals_trls", run.path, module="dpo_checks")


def test_checkpointed_layers_stay_those_of_the_plan(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """The reference's forward pass leaves every second layer kept."""
    run = tiny_run(
        tmp_path / "run", tiny_model, stage="dpo", train={"gradient_checkpointing": "every_n"}
    )
    hold(trainer, "every_second_layer_is_checkpointed", run.path, module="dpo_checks")
