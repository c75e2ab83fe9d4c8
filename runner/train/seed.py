"""The planned device, and switches that make equal runs give equal bits on one machine.

Not `full_determinism` of transformers: it makes every CUDA launch wait. Measured on a CPU the stack
repeats its bits without any switch; the number of threads is pinned because single kernels change
with it (layer norm, large sums).
"""

from __future__ import annotations

import torch

from runner.errors import TrainingError
from runner.plan import Plan


def check_device(plan: Plan) -> None:
    """Refuse to train on another device than the one planned for.

    Raises:
        TrainingError: no GPU answers, or float16 is asked for on a CPU.
    """
    if plan.training.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            id="train-no-gpu",
            what="the plan is for a GPU, and PyTorch finds none",
            why="micro-batch and precision were chosen for a card",
            fix="run `trainbox check`, or set `resources.gpus: 0` to train on the CPU",
        )
    if plan.training.device == "cpu" and plan.training.compute_dtype == "float16":
        raise TrainingError(
            id="train-float16-on-cpu",
            what="`float16` is computed on GPUs only",
            why="its range needs loss scaling, which PyTorch does not do on a CPU",
            fix="set `model.dtype: bfloat16` or `float32`",
        )


def pin(plan: Plan) -> None:
    """Pin threads, and algorithms where the job asks for it; the seed itself is the trainer's."""
    torch.set_num_threads(plan.training.num_threads)
    if plan.training.levers.tf32:
        torch.backends.cuda.matmul.allow_tf32 = True
    if plan.job["train"]["deterministic"]:
        torch.use_deterministic_algorithms(True)
        # it would fill every new tensor, to catch reads of memory nobody wrote
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
