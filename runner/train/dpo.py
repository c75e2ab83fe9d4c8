"""Direct preference optimisation: the recipe, top to bottom."""

from __future__ import annotations

from typing import Any

from datasets import Dataset  # type: ignore[import-untyped]
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from runner.train import seed
from runner.train.arguments import shared_arguments
from runner.train.attempt import Attempt
from runner.train.callbacks import Recorded
from runner.train.data import load_dpo
from runner.train.evaluate import BatchLoss, HeldOut
from runner.train.levers.pull import pull
from runner.train.loop import train_to_the_end
from runner.train.model import load_base, load_tokenizer, lora_config
from runner.train.saver import find_checkpoint


class DpoTrainer(Recorded, DPOTrainer):
    """TRL's trainer, recorded, on tokens that are ours; every pair of a step has the same weight.

    TRL takes the mean of the micro-batches' means, so that in the last step of an epoch a lone pair
    weighs as much as a full micro-batch, and another split of the same step learns something else.
    """

    _num_pairs = 0  # of the step
    _num_batches = 0

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset

    def get_batch_samples(self, *args: Any) -> tuple[list[Any], Any]:
        batches, num_items = super().get_batch_samples(*args)
        self._num_batches, self._num_pairs = len(batches), sum(map(_num_pairs, batches))
        return batches, num_items

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: Any = False, num_items_in_batch: Any = None
    ) -> Any:
        share = _num_pairs(inputs) * self._num_batches / self._num_pairs if model.training else 1.0
        result = super().compute_loss(  # type: ignore[no-untyped-call]  # TRL's are not typed
            model, inputs, return_outputs, num_items_in_batch
        )
        return (result[0] * share, *result[1:]) if return_outputs else result * share


def train(attempt: Attempt) -> int:
    """Train the run's plan and return the exit code."""
    plan, dpo = attempt.plan, attempt.plan.job["dpo"]
    seed.check_device(plan)
    seed.pin(plan)
    resumed = find_checkpoint(attempt)

    attempt.phase("load_data")
    train_data = load_dpo(plan.train_data)
    eval_data = load_dpo(plan.eval_data) if plan.eval_data else None

    attempt.phase("load_model")
    model = load_base(plan)
    # An adapter is its own reference when it is switched off; all weights need a frozen copy, with
    # the same types, so that policy and reference agree to the bit before the first step.
    reference = load_base(plan) if plan.job["method"] == "full" else None
    tokenizer = load_tokenizer(plan)

    attempt.phase("build_trainer")
    trainer = DpoTrainer(
        model=model,
        ref_model=reference,
        args=DPOConfig(
            **shared_arguments(plan, attempt.run),
            beta=dpo["beta"],
            loss_type=[dpo["loss_type"]],
        ),
        train_dataset=train_data,
        processing_class=tokenizer,
        peft_config=lora_config(plan),
    )
    pull(trainer, plan)
    held_out = (
        HeldOut(attempt, trainer, eval_data, measure=_measure, prompt_of=_prompt_of)
        if eval_data is not None
        else None
    )
    return train_to_the_end(attempt, trainer, held_out, resumed)


def _measure(trainer: Any, batch: dict[str, Any]) -> BatchLoss:
    """Return the loss summed over the pairs of a batch, and how many rank the chosen one first."""
    num_pairs = _num_pairs(batch)
    loss = float(trainer.compute_loss(trainer.model, dict(batch)))
    accuracy = trainer._metrics["eval"]["rewards/accuracies"][-1]
    trainer._metrics["eval"].clear()
    return BatchLoss(
        loss=loss * num_pairs,
        weight=num_pairs,
        supervised_tokens=int(batch["completion_mask"].sum()),
        num_preferred=accuracy * num_pairs,
    )


def _num_pairs(batch: dict[str, Any]) -> int:
    return len(batch["input_ids"]) // 2  # chosen answers first, then the rejected ones


def _prompt_of(sample: dict[str, list[int]]) -> list[int]:
    return sample["prompt_ids"]
