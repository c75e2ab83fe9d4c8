"""Direct preference optimisation: the recipe, top to bottom."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from datasets import Dataset  # type: ignore[import-untyped]
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from runner.train import seed
from runner.train.arguments import shared_arguments
from runner.train.attempt import Attempt
from runner.train.callbacks import Recorded
from runner.train.data import load_dpo
from runner.train.evaluate import BatchLoss, HeldOut
from runner.train.levers.head import use_bare_trl_head
from runner.train.levers.pull import base_of, pull
from runner.train.loop import train_to_the_end
from runner.train.model import load_base, load_tokenizer, lora_config
from runner.train.saver import find_checkpoint


class DpoTrainer(Recorded, DPOTrainer):
    """TRL's trainer, recorded, on tokens that are ours; its loss alone, each pair weighed the same.

    TRL takes the mean of the micro-batches' means, so that in the last step of an epoch a lone pair
    weighs as much as a full micro-batch, and another split of the same step learns something else.
    It also measures ten numbers of every micro-batch and waits for the card at each, and switches
    checkpointing off and on around the reference in a way that forgets `every_n_layers`.
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
        assert not return_outputs, "the head makes no logits"
        share = _num_pairs(inputs) * self._num_batches / self._num_pairs
        found = self.compare(model, inputs)
        # Tensors: TRL averages them over the micro-batches, the recorder reads them once a step.
        metrics = self._metrics["train"]
        metrics["rewards/margins"].append(found.margins.mean() * share)
        metrics["rewards/accuracies"].append(found.is_preferred.float().mean() * share)
        return found.losses.mean() * share

    def compare(self, model: Any, inputs: dict[str, Any]) -> Comparison:
        """Return loss and rewards of every pair of a batch."""
        mask, beta = inputs["completion_mask"], self.beta
        arguments = {key: value for key, value in inputs.items() if key != "completion_mask"}
        arguments |= {
            "labels": inputs["input_ids"].masked_fill(mask == 0, -100),
            "use_cache": False,
            "fused_lm_head": True,
        }
        routed = {"output_router_logits": True} if self.aux_loss_enabled else {}
        outputs = model(**arguments, **routed)
        with torch.no_grad():
            if self.ref_model is not None:
                reference = self.ref_model(**arguments)
            else:
                with self.accelerator.unwrap_model(self.model).disable_adapter():
                    reference = model(**arguments)
        ratios = outputs.log_probs.sum(dim=1) - reference.log_probs.sum(dim=1)
        losses = preference_losses(self.loss_types[0], beta, ratios, mask.sum(dim=1))
        if self.aux_loss_enabled:  # keeps the load of experts even
            losses = losses + self.router_aux_loss_coef * outputs.aux_loss
        chosen, rejected = (beta * ratios.detach()).chunk(2)
        return Comparison(losses, chosen - rejected, chosen > rejected)


class Comparison(NamedTuple):
    """Of each pair, (pairs,)."""

    losses: torch.Tensor
    margins: torch.Tensor  # reward of the chosen answer above the rejected one's
    is_preferred: torch.Tensor  # whether the chosen answer has the higher reward


def preference_losses(
    loss_type: str, beta: float, ratios: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Return the loss of each pair.

    Args:
        loss_type: sigmoid (DPO, 2305.18290), hinge (SLiC, 2305.10425) or ipo (2310.12036).
        ratios: log-probability of an answer above the reference's, chosen first, (2 x pairs,).
        lengths: tokens of the answers; IPO takes the mean a token, so that beta is comparable.
    """
    if loss_type == "ipo":
        ratios = ratios / lengths.clamp(min=1)
    chosen, rejected = ratios.chunk(2)
    margins = chosen - rejected
    if loss_type == "ipo":
        return (margins - 1 / (2 * beta)) ** 2
    if loss_type == "hinge":
        return torch.relu(1 - beta * margins)
    return -torch.nn.functional.logsigmoid(beta * margins)


def train(attempt: Attempt) -> int:
    """Train the run's plan and return the exit code."""
    plan = attempt.plan
    seed.check_device(plan)
    seed.pin(plan)
    resumed = find_checkpoint(attempt)

    attempt.phase("load_data")
    train_data = load_dpo(plan.train_data)
    eval_data = load_dpo(plan.eval_data) if plan.eval_data else None

    trainer = build_trainer(attempt, train_data)
    held_out = (
        HeldOut(attempt, trainer, eval_data, measure=_measure, prompt_of=_prompt_of)
        if eval_data is not None
        else None
    )
    return train_to_the_end(attempt, trainer, held_out, resumed)


def build_trainer(attempt: Attempt, train_data: Dataset) -> DpoTrainer:
    """Load model and reference and return the trainer of them, its levers pulled."""
    plan, dpo = attempt.plan, attempt.plan.job["dpo"]
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
    use_bare_trl_head(base_of(trainer.model))
    pull(trainer, plan)
    return trainer


def _measure(trainer: Any, batch: dict[str, Any]) -> BatchLoss:
    """Return the loss summed over the pairs of a batch, and how many rank the chosen one first."""
    found = trainer.compare(trainer.model, batch)
    return BatchLoss(
        loss=float(found.losses.sum()),
        weight=_num_pairs(batch),
        supervised_tokens=int(batch["completion_mask"].sum()),
        num_preferred=int(found.is_preferred.sum()),
    )


def _num_pairs(batch: dict[str, Any]) -> int:
    return len(batch["input_ids"]) // 2  # chosen answers first, then the rejected ones


def _prompt_of(sample: dict[str, list[int]]) -> list[int]:
    return sample["prompt_ids"]
