"""Which rows of the data an optimiser step was made of; asked only when a step went wrong."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from datasets import Dataset  # type: ignore[import-untyped]
from trl.data_utils import pack_dataset

from runner.data.prepare import load_prepared
from runner.plan import Plan


def samples_of_step(trainer: Any, plan: Plan, step: int) -> list[int]:
    """Return the indices, in the prepared training split, of the samples of a step (from 1).

    The order is drawn anew from its seed, as the trainer draws it.
    """
    loader = trainer.get_train_dataloader()
    accumulation = plan.training.gradient_accumulation_steps
    steps_per_epoch = -(-len(loader) // accumulation)
    epoch, step_of_epoch = divmod(step - 1, steps_per_epoch)
    loader.set_epoch(epoch)
    first = step_of_epoch * accumulation
    batches = itertools.islice(loader.batch_sampler, first, first + accumulation)
    rows = sorted(itertools.chain.from_iterable(batches))
    return _packed_in(plan, rows) if plan.training.packing else rows


def describe(plan: Plan, samples: list[int]) -> str:
    """Return where samples stand in the files of the job: `train.jsonl: rows 3, 17`."""
    arrays = load_prepared(plan.train_data.path)
    if "rows" not in arrays:  # prepared by an earlier version
        return f"samples {', '.join(map(str, samples))} of {plan.train_data.path}"
    rows = arrays["rows"][samples]
    by_source = defaultdict(set)
    for source, row in rows.tolist():
        by_source[source].add(row)
    return "; ".join(
        f"{plan.job['data']['train'][source]['path']}: rows {', '.join(map(str, sorted(numbers)))}"
        for source, numbers in sorted(by_source.items())
    )


def _packed_in(plan: Plan, rows: list[int]) -> list[int]:
    """Return the samples inside packed rows, by packing the samples' indices the same way."""
    offsets = load_prepared(plan.train_data.path)["offsets"]
    lengths = np.diff(offsets)
    indices = pa.array(np.repeat(np.arange(len(lengths), dtype=np.int32), lengths))
    table = pa.table({"sample": pa.LargeListArray.from_arrays(pa.array(offsets), indices)})
    packed = pack_dataset(Dataset(table), plan.job["data"]["max_length"], "bfd")
    return sorted({sample for row in rows for sample in packed[row]["sample"]})
