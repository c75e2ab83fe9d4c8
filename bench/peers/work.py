"""What a peer's script is given, and the marks it leaves; imports nothing of trainbox.

A script runs in the peer's own environment: python bench/peers/NAME.py PLAN DATA MARKS NUM_STEPS
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Work:
    """The job as trainbox's plan resolved it, so that every peer does the same."""

    plan: dict[str, Any]
    data: Path  # JSON Lines, `messages`
    marks: Path
    num_steps: int

    @property
    def job(self) -> dict[str, Any]:
        found: dict[str, Any] = self.plan["job"]
        return found

    @property
    def training(self) -> dict[str, Any]:
        found: dict[str, Any] = self.plan["training"]
        return found

    @property
    def folder(self) -> Path:
        """Where the peer may write."""
        return self.marks.parent

    @property
    def is_checkpointed(self) -> bool:
        return bool(self.training["gradient_checkpointing"] != "off")


def read_work() -> Work:
    """Return what the command line names."""
    plan, data, marks, num_steps = sys.argv[1:]
    read = json.loads(Path(plan).read_text(encoding="utf-8"))
    return Work(read, Path(data).absolute(), Path(marks), int(num_steps))


def mark_steps(marks: Path) -> None:
    """Have every trainer built on the one of transformers leave a line a step.

    A line holds step, loss and the tokens so far that are no padding, counted from the batches
    themselves: what the peers report counts padding, or nothing.
    """
    import torch  # the peer's
    from transformers import Trainer

    train, log, seen = Trainer.training_step, Trainer.log, [0]

    def training_step(self: Any, model: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        mask = inputs.get("attention_mask")
        is_of_tokens = mask is not None and mask.dim() == 2  # not of tokens times tokens
        seen[0] += int(mask.sum()) if is_of_tokens else inputs["input_ids"].numel()
        return train(self, model, inputs, *rest)

    def logged(self: Any, logs: dict[str, Any], *rest: Any) -> Any:
        if "loss" in logs:
            mark = {"step": self.state.global_step, "loss": logs["loss"], "tokens": seen[0]}
            if torch.cuda.is_available():
                mark["peak_allocated_bytes"] = torch.cuda.max_memory_allocated()
                mark["peak_reserved_bytes"] = torch.cuda.max_memory_reserved()
            with marks.open("a", encoding="utf-8") as file:
                file.write(json.dumps(mark) + "\n")
        return log(self, logs, *rest)

    Trainer.training_step, Trainer.log = training_step, logged
