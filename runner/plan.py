"""The plan: a job with everything resolved and nothing executed; handed over as plan.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.record.layout import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What an `auto` became, and why."""

    key: str
    value: Any
    reason: str


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
    sample_prompts: tuple[int, ...] = ()  # indices of eval samples whose answers are shown

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
    raw["training"] = TrainingPlan(**raw["training"])
    raw["decisions"] = tuple(Decision(**decision) for decision in raw["decisions"])
    raw["sample_prompts"] = tuple(raw["sample_prompts"])
    return Plan(**raw)
