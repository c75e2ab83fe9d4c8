"""Trainer events → record: journal lines, checkpoints, held-out losses, and when to stop."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from runner.errors import TrainingError
from runner.record.journal import NOT_FINITE, Event, read_events
from runner.train.attempt import Attempt
from runner.train.divergence import Divergence
from runner.train.evaluate import HeldOut
from runner.train.model import not_finite
from runner.train.past import Past
from runner.train.saver import Saver


class Recorder(TrainerCallback):
    """Writes what happens in the training loop, and decides what happens next.

    Args:
        held_out: what to measure on, or None.
        rows_of_step: names the rows of the data that a step was made of.
        divergence: when a finite loss is given up, or None.
    """

    def __init__(
        self,
        attempt: Attempt,
        saver: Saver,
        held_out: HeldOut | None,
        *,
        rows_of_step: Callable[[int], str],
        divergence: Divergence | None,
    ) -> None:
        self._attempt = attempt
        self._saver = saver
        self._held_out = held_out
        self._rows_of_step = rows_of_step
        self._divergence = divergence
        self._past = Past(read_events(attempt.run.journal), attempt.plan.training.micro_batch_size)
        self._tokens: tuple[torch.Tensor | int, torch.Tensor | int] = (0, 0)
        self._differs = False
        self._mark = time.monotonic()

    def is_skipped(self, step: int) -> bool:
        """Return whether a step is taken without its batch, which was not finite before."""
        return step in self._past.skipped

    def beat(self) -> None:
        """Say that the process lives."""
        self._attempt.heartbeat.beat()

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

    def settle(self) -> None:
        """Have every checkpoint sealed."""
        self._saver.settle()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.settle()  # the next epoch forks data workers, which a thread at work could harm

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        with self._attempt.stop.at_once():
            if state.global_step == 0 and self._attempt.job["method"] == "full":
                self._evaluate("before", 0)
            self._evaluate_during(state.global_step)  # a signal may have cut it off
        for loss in self._past.losses_until(state.global_step):
            self._watch_loss(loss)
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
        if not self.is_skipped(step):
            self._journal_step(self._step_event(step, logs))
            self._check_loss(step, logs)
        if self._attempt.job["method"] != "full":
            # After the first step, with the adapter off: the same numbers as before it, and the
            # first step does not wait for them.
            self._evaluate("before", 0, base=True)
        self._evaluate_during(step)
        control.should_save = self._saver.is_due(step)
        control.should_training_stop |= self._attempt.stop.requested
        self._mark = time.monotonic()

    def evaluate_after(self, step: int) -> None:
        """Measure the trained model."""
        self._evaluate("after", step)

    def _evaluate_during(self, step: int) -> None:
        every = self._attempt.job["train"]["eval_steps"]
        is_last = step >= self._attempt.plan.training.num_steps
        if step and every and step % every == 0 and not is_last:
            self._evaluate("during", step)

    def _evaluate(self, phase: str, step: int, *, base: bool = False) -> None:
        if self._held_out is None or (phase, step) in self._past.evals:
            return
        if self._attempt.stop.requested:
            return
        self._past.evals.add((phase, step))
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
        } | _peak_memory()
        if "rewards/margins" in logs:
            event["rewards_margin"] = float(logs["rewards/margins"])
            event["rewards_accuracy"] = float(logs["rewards/accuracies"])
        return event

    def _journal_step(self, event: Event) -> None:
        """Write a step, or compare it with the journal where an earlier attempt got further."""
        if not self._past.has_step(event["step"]):
            self._attempt.journal.write("step", **event)
            return
        differences = self._past.differences(event)
        if differences and not self._differs:
            self._differs = True  # the first says where; all later steps follow from it
            self._attempt.warn("replay-differs", differences)

    def _check_loss(self, step: int, logs: dict[str, Any]) -> None:
        """Stop where nothing is learnt any more, and say which rows the step was made of."""
        what = self._not_finite(logs)
        if what is not None:
            rows = self._rows_of_step(step)
            message = f"{what} of step {step} is NaN or infinite; its batch: {rows}"
            self._attempt.warn(NOT_FINITE, message, step=step, rows=rows)
            raise not_finite(step, what, where=rows)
        if self._watch_loss(logs["loss"]):
            raise TrainingError(
                id="train-diverged",
                what=f"the loss has run away: {logs['loss']:.3g} in step {step}",
                why="for 20 steps the model has done worse than guessing every token alike",
                fix="lower `train.learning_rate` and start a new run; the checkpoints that are "
                "left may be of the model that ran away",
            )

    def _not_finite(self, logs: dict[str, Any]) -> str | None:
        if not math.isfinite(logs["loss"]):
            return "the loss"
        # With float16 the gradient scaler overflows on purpose while it looks for its scale.
        is_scaled = self._attempt.plan.training.compute_dtype == "float16"
        if not is_scaled and not math.isfinite(logs.get("grad_norm") or 0.0):
            return "the gradient norm"
        return None

    def _watch_loss(self, loss: float) -> bool:
        return (
            self._divergence is not None
            and math.isfinite(loss)
            and self._divergence.has_diverged(loss)
        )


class Recorded(Trainer):
    """A trainer whose steps are counted and whose checkpoints are sealed; mixed into TRL's."""

    recorder: Recorder

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        batches, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.recorder.count_tokens(batches)
        return batches, num_items

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        self.recorder.beat()
        if self.recorder.is_skipped(self.state.global_step + 1):
            # No gradient: the optimiser leaves weights and moments alone, the schedule moves on.
            return torch.zeros((), device=self.args.device)
        return super().training_step(model, inputs, num_items_in_batch)

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


def _peak_memory() -> dict[str, int]:
    """Return the peak of the card's tensors and allocator; on a CPU the process's resident peak."""
    if torch.cuda.is_available():
        return {
            "peak_memory_bytes": int(torch.cuda.max_memory_allocated()),
            "peak_reserved_bytes": int(torch.cuda.max_memory_reserved()),
        }
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"peak_memory_bytes": resident}
