"""What holds of the loss of preferences, to be run where torch is imported: see test_dpo_parity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.utils import add_fused_lm_head

from runner.plan import read_plan
from runner.record.heartbeat import Heartbeat
from runner.record.journal import Journal
from runner.record.layout import RunDir
from runner.train import seed
from runner.train.attempt import Attempt
from runner.train.data import load_dpo
from runner.train.dpo import DpoTrainer, build_trainer
from runner.train.levers.pull import base_of
from runner.train.stop import Stop
from runner.train.terminal import Terminal

# transformers looks in each of two forward passes whether a row is padded, and from which side.
OF_THE_MASK = 4
MEASURED_BY_TRL = ("log_probs", "entropy", "mean_logits", "is_top1")


class Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the numbers the host reads, for each of which it would wait for a card."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@contextmanager
def trainer_of(folder: str) -> Iterator[tuple[DpoTrainer, dict[str, Any]]]:
    """The trainer of a run, its adapters away from zero so that every gradient is of some size."""
    run = RunDir(Path(folder))
    plan = read_plan(run.plan)
    seed.pin(plan)
    with Journal(run.journal, 1) as journal:
        attempt = Attempt(
            run=run, plan=plan, journal=journal, heartbeat=Heartbeat(run.heartbeat),
            terminal=Terminal(descriptor=2), stop=Stop(),
        )  # fmt: skip
        data = load_dpo(plan.train_data)
        trainer = build_trainer(attempt, data)
    torch.manual_seed(4)
    for value in trainer.model.parameters():
        if value.requires_grad:
            value.data += 0.05 * torch.randn_like(value)
    trainer.model.train()
    batch = trainer.data_collator([data[index] for index in range(3)])
    trainer._num_batches, trainer._num_pairs = 1, 3
    yield trainer, batch


def learnt(trainer: DpoTrainer, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    trainer.model.zero_grad()
    loss.backward()
    return {
        name: value.grad.clone()
        for name, value in trainer.model.named_parameters()
        if value.requires_grad
    }


def loss_equals_trls(folder: str) -> None:
    with trainer_of(folder) as (trainer, batch):
        reads = Reads()
        with reads:
            loss = trainer.compute_loss(trainer.model, batch)
        gradients = learnt(trainer, loss)
        metrics = {name: float(values[-1]) for name, values in trainer._metrics["train"].items()}
        base = base_of(trainer.model)
        del base.forward  # our head; the class's own is below it
        add_fused_lm_head(base, outputs=MEASURED_BY_TRL)
        trls = Reads()
        with trls:
            expected = DPOTrainer._compute_loss(trainer, trainer.model, batch, False)
        assert torch.equal(loss, expected), (loss, expected)
        for name, gradient in learnt(trainer, expected).items():
            assert gradient.any() and torch.equal(gradients[name], gradient), name
        for name, value in metrics.items():
            assert abs(trainer._metrics["train"][name][-1] - value) < 1e-6, name
        assert set(metrics) == {"rewards/margins", "rewards/accuracies"}
        assert reads.count == OF_THE_MASK < trls.count


def every_second_layer_is_checkpointed(folder: str) -> None:
    with trainer_of(folder) as (trainer, batch):
        trainer.model.activation_checkpointing_enable({"use_reentrant": False}, every_n_layers=2)
        for _ in range(2):
            trainer.compute_loss(trainer.model, batch).backward()
            layers: Any = base_of(trainer.model).base_model.layers
            assert [layer.gradient_checkpointing for layer in layers] == [True, False]
