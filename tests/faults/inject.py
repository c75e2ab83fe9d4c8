"""Faults of hardware, data and loaders, injected into a training process before its `main`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.forked_trainer import ForkedTrainer

POISON = 300  # a token id that no other sample of the tiny data holds


@contextmanager
def broken(trainer: ForkedTrainer, fault: str) -> Iterator[None]:
    """Have every training process started meanwhile run a fault first."""
    trainer.fault = fault
    try:
        yield
    finally:
        trainer.fault = ""


def once_journalled(line: str, action: str, *, nth: int = 1) -> str:
    """Something the training process does to itself right behind a line of its journal.

    A run of the tests takes a second, on some machines far less: nothing outside is certain to hit
    a moment of it.

    Args:
        line: which one, an expression over `event` (its kind) and `fields`.
        action: a statement, on one line.
        nth: of the lines that fit.
    """
    return f"""
import os, signal
from runner.record.journal import Journal

write, num_fitting = Journal.write, 0

def watched(self, event, **fields):
    global num_fitting
    written = write(self, event, **fields)
    if {line}:
        num_fitting += 1
        if num_fitting == {nth}:
            {action}
    return written

Journal.write = watched
"""


def signal_itself(number: int) -> str:
    return f"os.kill(os.getpid(), {int(number)})"


def after_step(step: int, action: str) -> str:
    """Something done as soon as a step, or a later one, is in the journal."""
    return once_journalled(f'event == "step" and fields["step"] >= {step}', action)


def out_of_memory_above(num_tokens: int) -> str:
    """The device's allocator gives up on micro-batches of more tokens, padding counted."""
    return f"""
import functools, torch
from transformers.models.llama.modeling_llama import LlamaModel

forward = LlamaModel.forward

@functools.wraps(forward)
def limited(self, *args, **kwargs):
    tokens = kwargs.get("input_ids", args[0] if args else None)
    if torch.is_grad_enabled() and tokens.numel() > {num_tokens}:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return forward(self, *args, **kwargs)

LlamaModel.forward = limited
"""


NAN_FROM_POISON = f"""
import torch

forward = torch.nn.Embedding.forward

def poisoned(self, ids):
    hidden = forward(self, ids)
    return hidden * float("nan") if (ids == {POISON}).any() else hidden

torch.nn.Embedding.forward = poisoned
"""


def worker_hangs_after(samples: int) -> str:
    """The data loader's collator never comes back once it has seen so many samples."""
    return f"""
import time
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling as Collator

collate, seen = Collator.torch_call, 0

def hanging(self, examples):
    global seen
    seen += len(examples)
    if seen > {samples}:
        time.sleep(3600)
    return collate(self, examples)

Collator.torch_call = hanging
"""


def worker_dies_after(samples: int) -> str:
    """A data loader process is killed once it has seen so many samples."""
    return worker_hangs_after(samples).replace(
        "time.sleep(3600)", "import os; os.kill(os.getpid(), 9)"
    )
