"""From a built trainer to a saved result: the part both recipes share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers.trainer_callback import PrinterCallback

from runner.errors import EXIT_DONE
from runner.record.checkpoint import clean, step_of
from runner.train.attempt import Attempt
from runner.train.batches import describe, samples_of_step
from runner.train.callbacks import Recorder
from runner.train.divergence import Divergence
from runner.train.evaluate import HeldOut
from runner.train.model import save_result, widen_trainable
from runner.train.saver import Saver, check_dtypes


def train_to_the_end(
    attempt: Attempt, trainer: Any, held_out: HeldOut | None, resumed: Path | None
) -> int:
    """Train the remaining steps, measure, save the result; return the exit code.

    Args:
        held_out: what to measure on, or None.
        resumed: the checkpoint to go on from, or None to begin.
    """
    widen_trainable(trainer.model)
    if resumed is not None:
        check_dtypes(trainer.model, resumed)
    plan = attempt.plan
    recorder = trainer.recorder = Recorder(
        attempt,
        Saver(attempt, resumed),
        held_out,
        rows_of_step=lambda step: describe(plan, samples_of_step(trainer, plan, step)),
        divergence=_divergence(attempt, trainer.model),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(recorder)
    num_steps = plan.training.num_steps
    if resumed is not None and step_of(resumed) >= num_steps:
        trainer._load_from_checkpoint(str(resumed))  # train() would take one step too many
    else:
        with attempt.stop.at_step_end():
            try:
                trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
            finally:
                recorder.settle()
        if attempt.stop.requested:
            return attempt.stop.exit_code
    recorder.evaluate_after(num_steps)
    attempt.phase("save")
    save_result(trainer.model, trainer.processing_class, plan, attempt.run, num_steps)
    clean(attempt.run)
    return EXIT_DONE


def _divergence(attempt: Attempt, model: Any) -> Divergence | None:
    """Return when a loss is given up; the loss of preferences has no such bound."""
    return Divergence(model.config.vocab_size) if attempt.job["stage"] == "sft" else None
