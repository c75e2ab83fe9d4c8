"""The forecast of a run: tokens, time, money and disk, each a range with what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HOUR_SECONDS = 3600
UNKNOWN_YET = "not predicted before the first steps"


@dataclass(frozen=True, kw_only=True)
class Disk:
    """Bytes that a run needs on its disks; whether they have room is `runner.disk`'s."""

    model_bytes: int  # weights
    model_missing_bytes: int  # of them, what is not in the cache yet
    data_bytes: int  # prepared data in the cache
    checkpoint_bytes: int | None  # of one; None where the model's parameters are not known
    num_checkpoints: int  # that there must be room for
    result_bytes: int | None  # the adapter or the model


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run will take; a part of plan.json."""

    train_tokens: int  # of all steps, padding left out
    eval_tokens: int  # of all evaluations together
    seconds: tuple[float, float] | None  # training and evaluating, without start and saving
    basis: str  # what the time rests on, or why there is none
    price_per_hour: float | None
    disk: Disk

    @property
    def cost(self) -> tuple[float, float] | None:
        """The price of the time, in the currency of the price."""
        if self.seconds is None or self.price_per_hour is None:
            return None
        low, high = (value / HOUR_SECONDS * self.price_per_hour for value in self.seconds)
        return low, high


def read_forecast(raw: Mapping[str, Any] | None) -> Forecast | None:
    """Read what plan.json says; plans from before the forecast say nothing."""
    if raw is None:
        return None
    seconds = raw["seconds"]
    return Forecast(
        **{
            **raw,
            "seconds": (seconds[0], seconds[1]) if seconds else None,
            "disk": Disk(**raw["disk"]),
        }
    )
