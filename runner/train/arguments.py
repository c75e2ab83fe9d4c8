"""The trainer arguments both recipes share, and why each is not the default."""

from __future__ import annotations

from typing import Any

from runner.plan import Plan
from runner.record.layout import RunDir


def shared_arguments(plan: Plan, run: RunDir) -> dict[str, Any]:
    """Return keyword arguments for SFTConfig or DPOConfig."""
    training, train = plan.training, plan.job["train"]
    on_card = training.device == "cuda"
    return {
        "output_dir": str(run.staging),
        # optimisation
        "max_steps": training.num_steps,
        "per_device_train_batch_size": training.micro_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "learning_rate": train["learning_rate"],
        "lr_scheduler_type": train["lr_scheduler_type"],
        "warmup_steps": training.warmup_steps,
        "weight_decay": train["weight_decay"],
        "max_grad_norm": train["max_grad_norm"],
        "optim": training.optim,
        "seed": train["seed"],
        "data_seed": train["seed"],  # unset, the order would hang on what else draws numbers
        # precision: the weights' types are model.py's, this is the type of the computation
        "bf16": training.compute_dtype == "bfloat16",
        "fp16": training.compute_dtype == "float16",
        "use_cpu": not on_card,
        # memory
        "activation_checkpointing": training.gradient_checkpointing != "off",
        "activation_checkpointing_kwargs": _checkpointing(plan),
        # data
        "max_length": None,  # cut to length when it was prepared, or not at all
        "dataloader_num_workers": training.num_workers,
        # Kept over an epoch's end, workers would draw no seed there while a resumed run's do: all
        # random numbers behind it would differ (met by tests/faults).
        "dataloader_persistent_workers": False,
        "dataloader_pin_memory": on_card,
        "accelerator_config": {"non_blocking": on_card},  # nothing waits for a pinned batch
        "remove_unused_columns": False,  # there are none
        # record: our callback saves and evaluates, the journal is the log
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would show a NaN loss as 0.0
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": "none",
        "push_to_hub": False,
        "disable_tqdm": True,
    }


def _checkpointing(plan: Plan) -> dict[str, Any] | None:
    if plan.training.gradient_checkpointing == "off":
        return None
    if plan.training.gradient_checkpointing == "every_n":
        return {"use_reentrant": False, "every_n_layers": plan.training.checkpoint_every_n}
    return {"use_reentrant": False}
