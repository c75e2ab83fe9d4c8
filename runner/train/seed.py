"""Switches that make equal runs give equal bits on one machine.

Not `full_determinism` of transformers: it makes every CUDA launch wait. Measured on a CPU the stack
repeats its bits without any switch; the number of threads is pinned because single kernels change
with it (layer norm, large sums).
"""

from __future__ import annotations

import torch

from runner.plan import Plan


def pin(plan: Plan) -> None:
    """Pin threads, and algorithms where the job asks for it; the seed itself is the trainer's."""
    torch.set_num_threads(plan.training.num_threads)
    if plan.job["train"]["deterministic"]:
        torch.use_deterministic_algorithms(True)
        # it would fill every new tensor, to catch reads of memory nobody wrote
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
