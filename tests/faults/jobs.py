"""The jobs that faults are injected into: every recipe and option that could change a bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.plan import read_plan
from runner.record.layout import RunDir
from tests.tiny import tiny_run

STEPS = 8
CHECKPOINT = {"save_steps": 2, "keep": STEPS}
BF16 = {"compute_dtype": "bfloat16"}
DROPOUT = {"dropout": 0.1}
JOBS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora", "lora": DROPOUT, "train": {"eval_steps": 3}},
    "qlora": {"method": "qlora", "lora": DROPOUT, "quantization": BF16},
    "packing": {"method": "lora", "lora": DROPOUT, "data": {"packing": True}},
    "workers": {"method": "lora", "lora": DROPOUT},
    "dpo": {"stage": "dpo", "method": "lora", "lora": DROPOUT},
    "dpo-qlora": {"stage": "dpo", "method": "qlora", "quantization": BF16},
    "full": {"method": "full"},
}
NUM_WORKERS = {"workers": 2}
# Prime to the batch, so that an epoch ends inside a step's worth of samples; two epochs.
TRAIN_SAMPLES = 13
END_OF_EPOCH = 4  # steps: 13 samples, four in a step


def fault_run(path: Path, model_folder: Path, name: str) -> RunDir:
    """Write a run directory of a job above, ready to train."""
    job = dict(JOBS[name])
    job["train"] = {"max_steps": STEPS, **job.get("train", {})}
    run = tiny_run(path, model_folder, train_samples=TRAIN_SAMPLES, checkpoint=CHECKPOINT, **job)
    if num_workers := NUM_WORKERS.get(name):
        plan = read_plan(run.plan)  # on a CPU the plan itself chooses none
        replace(plan, training=replace(plan.training, num_workers=num_workers)).write(run.plan)
    return run
