"""The forecast of a plan, from its numbers, the data's lengths and this machine's record."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runner.data.archive import read_archive
from runner.data.longest import sample_lengths
from runner.decide import training_settings
from runner.forecast.cards import card_speed
from runner.forecast.past import likeness_of, past_rates
from runner.forecast.run import UNKNOWN_YET, Disk, Forecast
from runner.forecast.work import forward_share, training_work
from runner.requirements import checkpoint_bytes, num_checkpoints, result_bytes

if TYPE_CHECKING:
    from runner.memory.architecture import Architecture
    from runner.memory.settings import Settings
    from runner.plan import Plan
    from runner.spec import Job

FORWARD_SHARE = 1 / 3  # of a training step, where the architecture is not known


def forecast(
    plan: Plan,
    job: Job,
    arch: Architecture | None,
    *,
    weight_bytes: tuple[int, int],
    runs: Path,
) -> Forecast:
    """Return what a plan's run will take.

    Args:
        weight_bytes: of the model, and of those what is not in the cache.
        runs: the folder of all runs.
    """
    train, held = plan.train_data, plan.eval_data
    lengths = sample_lengths(read_archive(train.path))
    mean = float(lengths.mean())
    pair = 2 if job.stage == "dpo" else 1  # chosen and rejected go through together
    train_tokens = round(float(lengths.sum()) * pair * plan.training.num_epochs)
    eval_tokens = held.num_tokens * _num_evaluations(plan) if held else 0
    settings = None
    if arch is not None:
        longest = plan.memory.length if plan.memory else train.longest
        settings = training_settings(job, vars(plan.training), longest)
    share = forward_share(arch, settings, mean) if arch and settings else FORWARD_SHARE
    seconds, basis = _measured(plan, runs, train_tokens + eval_tokens * share)
    if seconds is None and arch is not None and settings is not None:
        padded = _padded_tokens(plan, lengths, pair)
        seconds, basis = _computed(plan, arch, settings, mean, padded, eval_tokens * share)
    return Forecast(
        train_tokens=train_tokens,
        eval_tokens=eval_tokens,
        seconds=seconds,
        basis=basis,
        price_per_hour=job.resources.price_per_hour,
        disk=Disk(
            model_bytes=weight_bytes[0],
            model_missing_bytes=weight_bytes[1],
            data_bytes=sum(Path(split.path).stat().st_size for split in (train, held) if split),
            checkpoint_bytes=checkpoint_bytes(job, arch) if arch else None,
            num_checkpoints=num_checkpoints(job),
            result_bytes=result_bytes(job, arch) if arch else None,
        ),
    )


def _num_evaluations(plan: Plan) -> int:
    """Before, after, and every so many steps between."""
    every = plan.job["train"]["eval_steps"]
    return 2 + ((plan.training.num_steps - 1) // every if every else 0)


def _measured(plan: Plan, runs: Path, tokens: float) -> tuple[tuple[float, float] | None, str]:
    rates = past_rates(runs, likeness_of(asdict(plan)))
    if rates is None:
        return None, UNKNOWN_YET
    basis = (
        f"{rates.slow:,.0f} to {rates.fast:,.0f} tokens/s in {rates.num_steps} steps of "
        f"{rates.num_runs} earlier run{'s' if rates.num_runs > 1 else ''} like it here"
    )
    return (tokens / rates.fast, tokens / rates.slow), basis


def _computed(
    plan: Plan,
    arch: Architecture,
    settings: Settings,
    mean_length: float,
    padded_tokens: float,
    eval_tokens: float,
) -> tuple[tuple[float, float] | None, str]:
    """Compute the time on a card; eval_tokens are those of training that would cost as much."""
    card = plan.memory.planned_card if plan.memory else None
    if card is None:
        return None, UNKNOWN_YET
    speed = card_speed(card.name, card.capability)
    if speed is None:
        return None, f"{UNKNOWN_YET}: the speed of {card.name} is not known"
    training = plan.training
    micro_steps = training.num_steps * training.gradient_accumulation_steps
    work = training_work(arch, settings, mean_length)
    low, high = work.seconds(padded_tokens + eval_tokens, micro_steps, speed)
    basis = (
        f"computed: {work.flops_per_token / 1e9:.1f} GFLOP a token, "
        f"{100 * speed.least_share:.0f} to {100 * speed.most_share:.0f} % of "
        f"{speed.flops / 1e12:.0f} TFLOP/s; refined after the first steps"
    )
    return (low, high), basis


def _padded_tokens(plan: Plan, lengths: Any, pair: int) -> float:
    """Return the tokens of all steps with padding: each micro-batch as long as its longest row.

    The expected largest of m lengths drawn at random is the mean of the sorted lengths, weighted
    by how often each is the largest.
    """
    training = plan.training
    if training.packing or training.levers.padding_free:
        return float(lengths.sum()) * training.num_epochs
    micro = training.micro_batch_size
    ranks = np.arange(len(lengths) + 1) / len(lengths)
    largest = float(np.sort(lengths) @ np.diff(ranks**micro))
    return largest * pair * len(lengths) * training.num_epochs
