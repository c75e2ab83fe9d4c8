"""What becomes of each `auto` of a job: pure choices, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runner.errors import PlanError
from runner.levers import Levers, decide_attention, decide_levers
from runner.machine import Gpu
from runner.memory.architecture import Architecture
from runner.memory.cards import Card, card_of
from runner.memory.choose import ENOUGH_TOKENS, Policy, Step, choose_step, every_n_policies
from runner.memory.estimate import Estimate, estimate
from runner.memory.of_job import job_settings
from runner.memory.settings import Settings
from runner.spec import Job, Train

# Tokens of one micro-batch (padded) that `auto` aims at where no estimate chooses: on a CPU, more
# gains nothing and costs memory; on a card whose model's memory is not known, a middle way.
MICRO_BATCH_TOKENS = {"cuda": 8192, "cpu": 2048}
CHECKPOINT_EVERY_N = 2  # where no estimate chooses


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What an `auto` became, and why."""

    key: str
    value: Any
    reason: str


class Decisions:
    """Resolves the values that were left to us, and remembers what became of each and why."""

    def __init__(self) -> None:
        self.made: list[Decision] = []

    def __call__(self, key: str, wanted: Any, resolved: Any, reason: str) -> Any:
        """Return what the job wants, or where that is `auto` what we chose."""
        if wanted != "auto":
            return wanted
        self.made.append(Decision(key=key, value=resolved, reason=reason))
        return resolved


def decide_training(
    job: Job, gpu: Gpu | None, longest: int, arch: Architecture | None, decide: Decisions
) -> dict[str, Any]:
    """Return the fields of a TrainingPlan that no data but the longest row decides.

    Args:
        longest: tokens of the longest row.
        arch: None where the model's memory is not known.

    Raises:
        PlanError: the job asks for something that its model or device cannot have.
    """
    _check_every_n(job.train)
    device = "cuda" if gpu else "cpu"
    fields: dict[str, Any] = {"device": device} | _kernels(job, gpu, arch, decide)
    card = card_of(gpu) if gpu else None
    if card is not None and arch is not None:
        return fields | _decide_by_memory(job, card, longest, arch, fields, decide)
    micro, accumulation = _decide_batch(job, device, longest, decide)
    return fields | {
        "micro_batch_size": micro,
        "gradient_accumulation_steps": accumulation,
        "optim": decide("train.optim", job.train.optim, "adamw_torch_fused", "no copies"),
        "gradient_checkpointing": decide(
            "train.gradient_checkpointing",
            job.train.gradient_checkpointing,
            "full" if gpu else "off",
            "saves device memory" if gpu else "memory is not short on a CPU",
        ),
        "checkpoint_every_n": _every_n(job.train),
    }


def training_settings(job: Job, fields: dict[str, Any], longest: int) -> Settings:
    """Return the settings of the memory estimate for a resolved job.

    Args:
        fields: of a TrainingPlan.
    """
    levers: Levers = fields["levers"]
    return job_settings(
        job,
        micro_batch_size=fields["micro_batch_size"],
        accumulation=fields["gradient_accumulation_steps"],
        length=longest,
        optim=fields["optim"],
        checkpointing=fields["gradient_checkpointing"],
        every_n=fields["checkpoint_every_n"],
        attn_implementation=fields["attn_implementation"],
        compute_dtype=fields["compute_dtype"],
        packing=fields["packing"],
        head=levers.loss_head,
        holds_dense_base=levers.dense_base,
        fuses_adapters=levers.fused_adapters,
        casts_inputs=not levers.uncast_inputs,
    )


def _kernels(
    job: Job, gpu: Gpu | None, arch: Architecture | None, decide: Decisions
) -> dict[str, Any]:
    """Resolve what neither data nor memory decides."""
    levers = decide_levers(job, gpu, arch, decide)
    return {
        "levers": levers,
        "attn_implementation": decide_attention(job, levers, arch, decide),
        "compute_dtype": decide(
            "quantization.compute_dtype",
            job.quantization.compute_dtype,
            job.model.dtype,
            "same as model.dtype",
        ),
        "packing": decide("data.packing", job.data.packing, False, "it alters who shares a step"),
        "num_workers": decide(
            "resources.num_workers",
            job.resources.num_workers if gpu else "auto",
            0,
            "the data is in memory and the processors are busy training",
        ),
    }


def _decide_by_memory(
    job: Job,
    card: Card,
    longest: int,
    arch: Architecture,
    kernels: dict[str, Any],
    decide: Decisions,
) -> dict[str, Any]:
    """Resolve micro-batch, checkpointing and optimiser by what fits the card."""
    train, effective = job.train, job.train.effective_batch_size

    def fields_of(step: Step) -> dict[str, Any]:
        return kernels | {
            "micro_batch_size": step.micro_batch_size,
            "gradient_accumulation_steps": _accumulation(train, step.micro_batch_size),
            "optim": step.optim,
            "gradient_checkpointing": step.policy.checkpointing,
            "checkpoint_every_n": step.policy.every_n,
        }

    def predict(step: Step) -> Estimate:
        settings = training_settings(job, fields_of(step), longest)
        return estimate(arch, settings, card.capability)

    step, is_found = choose_step(
        _allowed_micro_batches(train),
        _allowed_policies(train, arch.num_layers),
        _allowed(train.optim, ("adamw_torch_fused", "adamw_8bit")),
        longest * (2 if job.stage == "dpo" else 1),
        card.memory_bytes,
        predict,
    )
    fields = fields_of(step)
    reason = f"{'the fastest that fits' if is_found else 'the least memory, for'} {card.name}"
    for key, wanted, value, why in (
        (
            "train.per_device_train_batch_size",
            train.per_device_train_batch_size,
            step.micro_batch_size,
            f"{reason}, with at most {ENOUGH_TOKENS} tokens (longest sample {longest})",
        ),
        (
            "train.gradient_accumulation_steps",
            train.gradient_accumulation_steps,
            fields["gradient_accumulation_steps"],
            f"keeps the effective batch size of {effective}",
        ),
        (
            "train.gradient_checkpointing",
            train.gradient_checkpointing,
            step.policy.checkpointing,
            reason,
        ),
        ("train.optim", train.optim, step.optim, reason),
    ):
        decide(key, wanted, value, why)
    if step.policy.checkpointing == "every_n":
        decide("train.checkpoint_every_n", train.checkpoint_every_n, step.policy.every_n, reason)
    return fields


def _allowed(wanted: str, choices: Sequence[str]) -> Sequence[str]:
    return choices if wanted == "auto" else (wanted,)


def _allowed_policies(train: Train, num_layers: int) -> list[Policy]:
    kinds = _allowed(train.gradient_checkpointing, ("off", "every_n", "full"))
    policies = [Policy(checkpointing=kind) for kind in kinds if kind != "every_n"]
    if "every_n" in kinds:
        is_free = train.checkpoint_every_n == "auto"
        given = Policy(checkpointing="every_n", every_n=_every_n(train))
        policies += every_n_policies(num_layers) if is_free else [given]
    return policies


def _check_every_n(train: Train) -> None:
    given, policy = train.checkpoint_every_n, train.gradient_checkpointing
    if given != "auto" and policy in ("off", "full"):
        raise PlanError(
            id="plan-lever",
            what=f"`train.checkpoint_every_n` is {given} with `gradient_checkpointing: {policy}`",
            why="the number would have no effect",
            fix="write `gradient_checkpointing: every_n`, or leave the number out",
        )


def _every_n(train: Train) -> int:
    every_n = train.checkpoint_every_n
    return CHECKPOINT_EVERY_N if every_n == "auto" else every_n


def _allowed_micro_batches(train: Train) -> Sequence[int]:
    """Return the divisors of the effective batch size, or the one that the job gives."""
    effective = train.effective_batch_size
    if train.per_device_train_batch_size != "auto":
        return (train.per_device_train_batch_size,)
    if train.gradient_accumulation_steps != "auto":
        return (max(1, effective // train.gradient_accumulation_steps),)
    return tuple(size for size in range(1, effective + 1) if effective % size == 0)


def _accumulation(train: Train, micro_batch_size: int) -> int:
    if train.gradient_accumulation_steps != "auto":
        return train.gradient_accumulation_steps
    return max(1, train.effective_batch_size // micro_batch_size)


def _decide_batch(job: Job, device: str, longest: int, decide: Decisions) -> tuple[int, int]:
    """Resolve micro-batch and accumulation by a number of tokens."""
    longest *= 2 if job.stage == "dpo" else 1  # DPO runs pairs
    tokens = MICRO_BATCH_TOKENS[device]
    affordable = max(1, tokens // max(longest, 1))
    allowed = _allowed_micro_batches(job.train)
    micro = max((size for size in allowed if size <= affordable), default=min(allowed))
    accumulation = _accumulation(job.train, micro)
    decide(
        "train.per_device_train_batch_size",
        job.train.per_device_train_batch_size,
        micro,
        f"largest divisor of effective_batch_size with at most {tokens} tokens"
        f" (longest sample {longest})",
    )
    decide(
        "train.gradient_accumulation_steps",
        job.train.gradient_accumulation_steps,
        accumulation,
        "keeps the effective batch size",
    )
    return micro, accumulation
