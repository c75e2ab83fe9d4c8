"""The held-out loss, and answers of the model: measured without touching what is trained.

Random numbers are put back afterwards, so that a run with and a run without evaluation train the
same bits. `base` measures the untrained model: the adapter is switched off, which is exact.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset  # type: ignore[import-untyped]
from peft import PeftModel

from runner.train.attempt import Attempt
from runner.train.levers.attention import for_generation
from runner.train.model import not_finite

MAX_NEW_TOKENS = 60
USER_ROLES = ("user", "human", "User", "Human")


@dataclass(frozen=True, kw_only=True)
class BatchLoss:
    """Sums over one batch."""

    loss: float  # summed over `weight`
    weight: int  # supervised tokens (SFT), pairs (DPO)
    supervised_tokens: int
    num_preferred: float | None = None  # DPO: pairs whose chosen answer has the higher reward


class HeldOut:
    """Measures a trainer's model on the held-out samples, and has it answer a few of them.

    Args:
        samples: the prepared held-out split.
        measure: the loss of one batch, from the trainer and the batch on its device.
        prompt_of: the token ids of a sample before the answer.
    """

    def __init__(
        self,
        attempt: Attempt,
        trainer: Any,
        samples: Dataset,
        *,
        measure: Callable[[Any, dict[str, Any]], BatchLoss],
        prompt_of: Callable[[dict[str, list[int]]], list[int]],
    ) -> None:
        self._attempt = attempt
        self._trainer = trainer
        self._samples = samples
        self._measure = measure
        self._prompt_of = prompt_of

    def evaluate(self, phase: str, step: int, *, base: bool = False) -> None:
        """Journal the held-out loss and show the answers; given up when a signal comes."""
        self._attempt.phase("evaluate")
        with self._still(base=base):
            batches = []
            for batch in self._batches():
                if self._attempt.stop.requested:
                    return
                batches.append(self._measure(self._trainer, batch))
                self._attempt.heartbeat.beat()
            if phase != "during":
                self._show_answers(phase)
        weight = sum(batch.weight for batch in batches)
        loss = sum(batch.loss for batch in batches) / max(weight, 1)
        if loss != loss or loss in (float("inf"), float("-inf")):
            raise not_finite(step, "the held-out loss")
        preferred = [one.num_preferred for one in batches if one.num_preferred is not None]
        self._attempt.journal.write(
            "eval",
            step=step,
            phase=phase,
            loss=loss,
            num_samples=len(self._samples),
            supervised_tokens=sum(batch.supervised_tokens for batch in batches),
            **({"rewards_accuracy": sum(preferred) / weight} if preferred else {}),
        )

    @contextmanager
    def _still(self, *, base: bool) -> Iterator[None]:
        """Hold the model in evaluation mode, random numbers and adapter put back at the end."""
        model, accelerator = self._trainer.model, self._trainer.accelerator
        is_adapter = isinstance(model, PeftModel)
        assert is_adapter or not base, "full fine-tuning has changed the base model"
        was_training = model.training
        model.eval()
        try:
            with (
                torch.random.fork_rng(),
                torch.no_grad(),
                accelerator.autocast(),
                model.disable_adapter() if base else nullcontext(),
            ):
                yield
        finally:
            model.train(was_training)

    def _batches(self) -> Iterator[dict[str, Any]]:
        """Yield padded batches, longest samples first: little padding, and no surprise later."""
        rows = list(self._samples)
        rows.sort(key=lambda row: sum(map(len, row.values())), reverse=True)
        size = self._trainer.args.per_device_train_batch_size
        device = self._trainer.accelerator.device
        for start in range(0, len(rows), size):
            batch = self._trainer.data_collator(rows[start : start + size])
            yield {
                name: value.to(device) if torch.is_tensor(value) else value
                for name, value in batch.items()
            }

    def _show_answers(self, phase: str) -> None:
        """Say the answers on the terminal channel; into a file only where the job asks for it."""
        for index in self._attempt.plan.sample_prompts:
            if self._attempt.stop.requested:
                return
            self._attempt.heartbeat.beat()
            prompt = self._prompt_of(self._samples[index])
            tokenizer = self._trainer.processing_class
            sample = {
                "kind": "sample",
                "phase": phase,
                "index": index,
                "prompt": last_turn(tokenizer, prompt),
                "answer": tokenizer.decode(self._answer(prompt), skip_special_tokens=True).strip(),
            }
            self._attempt.terminal.say(**sample)
            if self._attempt.job["tracking"]["samples"] == "files":
                with self._attempt.run.samples.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(sample, ensure_ascii=False) + "\n")

    def _answer(self, prompt: list[int]) -> list[int]:
        """Return the most likely continuation of a prompt, as token ids."""
        tokenizer, model = self._trainer.processing_class, self._trainer.model
        ids = torch.tensor([prompt], device=self._trainer.accelerator.device)
        with for_generation(model):
            written = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=MAX_NEW_TOKENS,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=_stop_ids(model, tokenizer),
                use_cache=True,
            )
        return list(written[0, len(prompt) :].tolist())


def last_turn(tokenizer: Any, prompt: list[int]) -> str:
    """Return the text of a prompt's last turn: no system message, no role names.

    Chat templates set turns apart by special tokens; a turn's header is its role, alone before the
    next special token or on the first line of the turn.
    """
    pieces: list[list[int]] = [[]]
    for token in prompt:
        if token in tokenizer.all_special_ids:
            pieces.append([])
        else:
            pieces[-1].append(token)
    turns = [tokenizer.decode(piece).strip() for piece in pieces if piece]
    turns = [turn for turn in turns if len(turn.split()) > 1] or turns  # a lone word is a header
    lines = turns[-1].splitlines() if turns else []
    return "\n".join(lines[1:] if len(lines) > 1 and lines[0].strip() in USER_ROLES else lines)


def _stop_ids(model: Any, tokenizer: Any) -> list[int] | None:
    """Return the end tokens of the model and of its chat template."""
    ids = model.generation_config.eos_token_id
    stop = {ids} if isinstance(ids, int) else set(ids or ())
    if tokenizer.eos_token_id is not None:
        stop.add(tokenizer.eos_token_id)
    return sorted(stop) or None
