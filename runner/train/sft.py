"""Supervised fine-tuning: the recipe, top to bottom."""

from __future__ import annotations

from typing import Any

import torch
from trl.data_utils import pack_dataset
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from runner.train import seed
from runner.train.arguments import shared_arguments
from runner.train.attempt import Attempt
from runner.train.callbacks import Recorded
from runner.train.data import IGNORED, load_sft
from runner.train.evaluate import BatchLoss, HeldOut
from runner.train.levers.attention import lays_end_to_end
from runner.train.levers.head import use_bare_trl_head
from runner.train.levers.pull import base_of, pull
from runner.train.loop import train_to_the_end
from runner.train.model import load_base, load_tokenizer, lora_config
from runner.train.saver import find_checkpoint


class SftTrainer(Recorded, SFTTrainer):
    """TRL's trainer, recorded; its loss alone.

    TRL's own loss also measures entropy, accuracy and tokens of every micro-batch, which nothing
    here reads, and waits for the card at each.
    """

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if self.aux_loss_enabled or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[no-untyped-call]
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        num_tokens = outputs.label_mask.sum() if num_items_in_batch is None else num_items_in_batch
        return -outputs.log_probs.sum() / torch.as_tensor(num_tokens).clamp(min=1)


def train(attempt: Attempt) -> int:
    """Train the run's plan and return the exit code."""
    plan = attempt.plan
    seed.check_device(plan)
    seed.pin(plan)
    resumed = find_checkpoint(attempt)

    attempt.phase("load_data")
    train_data = load_sft(plan.train_data)
    eval_data = load_sft(plan.eval_data) if plan.eval_data else None
    if plan.training.packing:
        train_data = pack_dataset(train_data, plan.job["data"]["max_length"], "bfd")

    attempt.phase("load_model")
    model = load_base(plan)
    tokenizer = load_tokenizer(plan)

    attempt.phase("build_trainer")
    trainer = SftTrainer(
        model=model,
        args=SFTConfig(
            **shared_arguments(plan, attempt.run),
            dataset_kwargs={"skip_prepare_dataset": True},  # tokens and mask are ours
            packing=plan.training.packing,
            padding_free=lays_end_to_end(plan.training),
        ),
        train_dataset=train_data,
        processing_class=tokenizer,
        peft_config=lora_config(plan),
    )
    if not trainer.aux_loss_enabled:
        use_bare_trl_head(base_of(trainer.model))
    pull(trainer, plan)
    held_out = (
        HeldOut(attempt, trainer, eval_data, measure=_measure, prompt_of=_prompt_of)
        if eval_data is not None
        else None
    )
    return train_to_the_end(attempt, trainer, held_out, resumed)


def _measure(trainer: Any, batch: dict[str, Any]) -> BatchLoss:
    """Return the negative log-likelihood summed over the supervised tokens of a batch."""
    outputs = trainer.model(**batch, use_cache=False, fused_lm_head=True)
    num_tokens = int(outputs.label_mask.sum())
    return BatchLoss(
        loss=-float(outputs.log_probs.double().sum()),  # zero on tokens without loss
        weight=num_tokens,
        supervised_tokens=num_tokens,
    )


def _prompt_of(sample: dict[str, list[int]]) -> list[int]:
    """Return the tokens before the first one that carries loss; where all do, the first half."""
    ids, labels = sample["input_ids"], sample["labels"]
    first = next(number for number, label in enumerate(labels) if label != IGNORED)
    return ids[:first] if first else ids[: max(1, len(ids) // 2)]
