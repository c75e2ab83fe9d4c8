"""Two steps of a trainer with marks, to be run where torch is imported: called by test_peers."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

from bench.peers.work import mark_steps


def train(model: str, marks: str, *lengths: str) -> None:
    """Train two steps of two padded samples each, marking them.

    Args:
        lengths: tokens of each sample that are no padding.
    """
    mark_steps(Path(marks))
    rows = [
        {
            "input_ids": torch.arange(8),
            "labels": torch.arange(8),
            "attention_mask": (torch.arange(8) < int(length)).long(),
        }
        for length in lengths
    ]
    Trainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        train_dataset=rows,
        args=TrainingArguments(
            output_dir=str(Path(marks).parent),
            per_device_train_batch_size=1,
            gradient_accumulation_steps=2,
            max_steps=2,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
    ).train()
