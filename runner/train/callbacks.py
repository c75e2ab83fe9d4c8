"""Trainer events → record: journal lines, checkpoints, held-out losses, and when to stop."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from runner.record.journal import Event, read_events
from runner.train.attempt import Attempt
from runner.train.evaluate import HeldOut
from runner.train.model import not_finite
from runner.train.saver import Saver

# What a replayed step must repeat bit for bit; the clock and the memory may differ.
REPLAYED = ("loss", "learning_rate", "grad_norm", "tokens", "supervised_tokens")


class Recorder(TrainerCallback):
    """Writes what happens in the training loop, and decides what happens next."""

    def __init__(self, attempt: Attempt, saver: Saver, held_out: HeldOut | None) -> None:
        self._attempt = attempt
        self._saver = saver
        self._held_out = held_out
        past = read_events(attempt.run.journal)
        self._past_steps = {event["step"]: event for event in past if event["event"] == "step"}
        self._past_evals = {
            (event["phase"], event["step"]) for event in past if event["event"] == "eval"
        }
        self._tokens: tuple[torch.Tensor | int, torch.Tensor | int] = (0, 0)
        self._differs = False
        self._mark = time.monotonic()

    def count_tokens(self, batches: list[dict[str, Any]]) -> None:
        """Note how many tokens the next step trains on; read when the step is logged.

        The sums stay on the device: reading them here would make the host wait for the card.
        """
        tokens = sum(_num_tokens(batch) for batch in batches)
        self._tokens = tokens, sum(_num_supervised(batch) for batch in batches)

    def save(self, write: Callable[[], None], model: torch.nn.Module, step: int) -> None:
        """Save a checkpoint through the saver; its time does not count as the next step's."""
        self._saver.save(write, model, step)
        self._mark = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._attempt.job["method"] == "full" and state.global_step == 0:
            self._evaluate("before", 0)
        self._attempt.phase("train")
        self._mark = time.monotonic()

    def on_log(  # after every step, before the trainer looks whether to save and to stop
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        state.log_history.clear()  # the journal is the record; every checkpoint would repeat it
        if logs is None or "loss" not in logs:
            return  # the summary at the end of train()
        step = state.global_step
        self._journal_step(self._step_event(step, logs))
        self._check_finite(step, logs)
        if self._attempt.job["method"] != "full":
            # After the first step, with the adapter off: the same numbers as before it, and the
            # first step does not wait for them.
            self._evaluate("before", 0, base=True)
        every = self._attempt.job["train"]["eval_steps"]
        if every and step % every == 0 and step < self._attempt.plan.training.num_steps:
            self._evaluate("during", step)
        control.should_save = self._saver.is_due(step)
        control.should_training_stop |= self._attempt.stop.requested
        self._mark = time.monotonic()

    def evaluate_after(self, step: int) -> None:
        """Measure the trained model."""
        self._evaluate("after", step)

    def _evaluate(self, phase: str, step: int, *, base: bool = False) -> None:
        if self._held_out is None or (phase, step) in self._past_evals:
            return
        if self._attempt.stop.requested:
            return
        self._past_evals.add((phase, step))
        self._held_out.evaluate(phase, step, base=base)
        if phase != "after":
            self._attempt.phase("train")

    def _step_event(self, step: int, logs: dict[str, Any]) -> Event:
        seconds = time.monotonic() - self._mark
        tokens, supervised = (int(number) for number in self._tokens)
        event: Event = {
            "step": step,
            "loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            "grad_norm": logs.get("grad_norm"),
            "tokens": tokens,
            "supervised_tokens": supervised,
            "tokens_per_second": tokens / seconds,
            "step_seconds": seconds,
            "peak_memory_bytes": _peak_memory_bytes(),
        }
        if "rewards/margins" in logs:
            event["rewards_margin"] = logs["rewards/margins"]
            event["rewards_accuracy"] = logs["rewards/accuracies"]
        return event

    def _journal_step(self, event: Event) -> None:
        """Write a step, or compare it with the journal where an earlier attempt got further."""
        past = self._past_steps.get(event["step"])
        if past is None:
            self._attempt.journal.write("step", **event)
            return
        differing = [key for key in REPLAYED if repr(past.get(key)) != repr(event[key])]
        if differing and not self._differs:
            self._differs = True  # the first says where; all later steps follow from it
            self._attempt.warn(
                "replay-differs",
                f"step {event['step']} came out differently than in attempt {past['attempt']}: "
                + ", ".join(f"{key} {event[key]!r}, was {past.get(key)!r}" for key in differing),
            )

    def _check_finite(self, step: int, logs: dict[str, Any]) -> None:
        if not math.isfinite(logs["loss"]):
            raise not_finite(step, "the loss")
        # With float16 the gradient scaler overflows on purpose while it looks for its scale.
        if self._attempt.plan.training.compute_dtype != "float16" and not math.isfinite(
            logs.get("grad_norm") or 0.0
        ):
            raise not_finite(step, "the gradient norm")


class Recorded(Trainer):
    """A trainer whose steps are counted and whose checkpoints are sealed; mixed into TRL's."""

    recorder: Recorder

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        batches, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.recorder.count_tokens(batches)
        return batches, num_items

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Trainer's own, not TRL's: that one writes a model card first.
        assert self.model is not None
        self.recorder.save(
            lambda: Trainer._save_checkpoint(self, model, trial), self.model, self.state.global_step
        )


def _num_tokens(batch: dict[str, Any]) -> Any:
    mask = batch.get("attention_mask")
    return batch["input_ids"].numel() if mask is None else mask.sum()


def _num_supervised(batch: dict[str, Any]) -> Any:
    if "completion_mask" in batch:
        return batch["completion_mask"].sum()
    return (batch["labels"] != -100).sum()


def _peak_memory_bytes() -> int:
    """Return the peak of the card, or on a CPU the resident peak of this process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
