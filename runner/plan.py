"""The plan: a job with everything resolved and nothing executed; handed over as plan.json."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.choose_gpu import choose_gpu
from runner.decide import Decision as Decision
from runner.decide import Decisions, decide_training
from runner.errors import PlanError
from runner.forecast.run import Forecast, read_forecast
from runner.levers import PLAIN, Levers
from runner.machine import Machine
from runner.memory.fit import PlannedMemory, read_planned_memory
from runner.predict import find_architecture, predict_memory
from runner.record.layout import SCHEMA_VERSION
from runner.spec import Job, Train

DEFAULT_EPOCHS = 3.0
# Sections of a job that may differ between two starts of the same run.
NOT_IDENTITY = ("checkpoint", "tracking", "secrets", "resources", "limits")


@dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """The base model as the training process finds it."""

    public_name: str  # what the saved adapter calls its base; never a path of this machine
    revision: str | None  # hub commit, or the package's version
    folder: str  # absolute path of an ordinary Hugging Face folder
    model_type: str  # of config.json
    files: dict[str, str]  # file name → SHA-256 of the configuration, tokenizer and weight files


@dataclass(frozen=True, kw_only=True)
class PreparedSplit:
    """One prepared file in the cache; its format is in docs/architecture.md."""

    path: str
    sha256: str
    num_samples: int
    num_tokens: int
    num_supervised_tokens: int
    longest: int  # tokens
    source_sha256: str  # over the bytes of all source files, in order


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """Resolved numbers of the optimisation."""

    device: str  # cuda | cpu
    micro_batch_size: int
    gradient_accumulation_steps: int
    num_steps: int  # optimiser steps of the whole run
    num_epochs: float
    warmup_steps: int
    optim: str
    gradient_checkpointing: str  # off | full | every_n
    checkpoint_every_n: int  # 1 is every layer; has a meaning with every_n
    attn_implementation: str
    compute_dtype: str
    packing: bool
    num_threads: int  # CPU threads of torch
    num_workers: int
    levers: Levers = PLAIN


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All the training process needs to know; written once, read by `runner.train`."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    job: dict[str, Any]  # Job.canonical(), without `auto` below `train`
    model: PlannedModel
    train_data: PreparedSplit
    eval_data: PreparedSplit | None
    training: TrainingPlan
    decisions: tuple[Decision, ...]
    identity: str  # SHA-256 over what makes two starts the same run
    overrides: tuple[str, ...] = ()  # `--set` arguments, as given
    sample_prompts: tuple[int, ...] = ()  # indices of eval samples whose answers are shown
    memory: PlannedMemory | None = None  # None where the model's memory is not known
    forecast: Forecast | None = None  # time, tokens, disk and cost

    def write(self, path: Path) -> None:
        """Write the plan as JSON, whole or not at all."""
        aside = path.with_suffix(".tmp")
        aside.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        aside.replace(path)


def read_plan(path: Path) -> Plan:
    """Read a plan back.

    Raises:
        ValueError: another schema version wrote it.
    """
    raw = json.loads(path.read_text(encoding="utf-8"))
    if raw.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"{path} has schema {raw.get('schema_version')}, not {SCHEMA_VERSION}")
    raw["model"] = PlannedModel(**raw["model"])
    raw["train_data"] = PreparedSplit(**raw["train_data"])
    raw["eval_data"] = PreparedSplit(**raw["eval_data"]) if raw["eval_data"] else None
    levers = Levers(**raw["training"].pop("levers", {}))
    raw["training"] = TrainingPlan(**raw["training"], levers=levers)
    raw["decisions"] = tuple(Decision(**decision) for decision in raw["decisions"])
    raw["memory"] = read_planned_memory(raw.get("memory"))
    raw["forecast"] = read_forecast(raw.get("forecast"))
    raw["overrides"] = tuple(raw["overrides"])
    raw["sample_prompts"] = tuple(raw["sample_prompts"])
    return Plan(**raw)


def build_plan(
    job: Job,
    *,
    run_id: str,
    model: PlannedModel,
    train_data: PreparedSplit,
    eval_data: PreparedSplit | None,
    machine: Machine,
    overrides: tuple[str, ...] = (),
    packed_rows: int | None = None,
    config: Mapping[str, Any] | None = None,
) -> Plan:
    """Resolve every `auto` of a job; nothing is executed.

    Args:
        packed_rows: rows of max_length tokens that packing makes of the training samples; needed
            where the job packs.
        config: config.json of the model; without it nothing is said about memory.

    Raises:
        PlanError: the job asks for something this machine does not have.
    """
    decide = Decisions()
    gpu = choose_gpu(job, machine)
    if gpu is None and job.resources.gpus:
        decide("resources.gpus", "auto", 0, "no NVIDIA GPU answers here: training on the CPU")
    num_rows, longest = train_data.num_samples, train_data.longest
    if job.data.packing is True:
        assert packed_rows is not None, "a job that packs needs the number of packed rows"
        num_rows, longest = packed_rows, job.data.max_length
    arch = find_architecture(config) if config else None
    fields = decide_training(job, gpu, longest, arch, decide)
    if gpu is None and fields["compute_dtype"] == "float16":
        raise _float16_on_cpu()
    epochs, steps = _length(
        job.train, num_rows, fields["micro_batch_size"], fields["gradient_accumulation_steps"]
    )
    training = TrainingPlan(
        num_steps=steps,
        num_epochs=epochs,
        warmup_steps=math.ceil(steps * job.train.warmup_ratio),
        num_threads=machine.num_cpus,
        **fields,
    )
    resolved = job.canonical()
    resolved["train"] |= {
        "per_device_train_batch_size": training.micro_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "num_train_epochs": epochs,
        "max_steps": steps,
        "optim": training.optim,
        "gradient_checkpointing": training.gradient_checkpointing,
        "checkpoint_every_n": training.checkpoint_every_n,
    }
    return Plan(
        run_id=run_id,
        job=resolved,
        model=model,
        train_data=train_data,
        eval_data=eval_data,
        training=training,
        decisions=tuple(decide.made),
        identity=_identity(resolved, model, train_data, eval_data, training),
        overrides=overrides,
        sample_prompts=_sample_prompts(job, eval_data),
        memory=predict_memory(job, fields, longest, arch, gpu) if arch else None,
    )


def _float16_on_cpu() -> PlanError:
    return PlanError(
        id="plan-float16-cpu",
        what="`model.dtype` is float16, and this run is on a CPU",
        why="PyTorch has no gradient scaler for float16 on a CPU: small gradients become zero",
        fix="write `model.dtype: float32` (or bfloat16), or train on a GPU",
    )


def _length(train: Train, num_rows: int, micro: int, accumulation: int) -> tuple[float, int]:
    """Return epochs and optimiser steps; the last step of an epoch may be smaller.

    Counted as transformers 5 does: an epoch ends with an optimiser step, whatever is left.
    """
    steps_per_epoch = math.ceil(math.ceil(num_rows / micro) / accumulation)
    if train.max_steps is not None:
        return train.max_steps / steps_per_epoch, train.max_steps
    epochs = train.num_train_epochs or DEFAULT_EPOCHS
    return epochs, math.ceil(steps_per_epoch * epochs)


def _sample_prompts(job: Job, eval_data: PreparedSplit | None) -> tuple[int, ...]:
    return (0,) if eval_data and job.tracking.samples != "none" else ()


def _identity(
    resolved: dict[str, Any],
    model: PlannedModel,
    train_data: PreparedSplit,
    eval_data: PreparedSplit | None,
    training: TrainingPlan,
) -> str:
    """Return the digest of everything that decides what is trained, and of nothing else."""
    facts = {
        "job": {key: value for key, value in resolved.items() if key not in NOT_IDENTITY},
        "model": model.files,
        "data": [split.sha256 for split in (train_data, eval_data) if split],
        "training": asdict(training),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
