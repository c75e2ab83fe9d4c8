"""The part of `trainbox plan` about time, tokens, money and disk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runner.base_model.cache import readable_size
from runner.disk import Need, disks_of
from runner.forecast.run import Disk, Forecast
from runner.progress import clock


def render_forecast(forecast: Forecast) -> list[tuple[str, str]]:
    """Return names and values of the lines."""
    tokens = f"{forecast.train_tokens:,} trained on"
    if forecast.eval_tokens:
        tokens += f" · {forecast.eval_tokens:,} evaluated"
    lines = [("tokens", tokens), ("time", time_line(forecast))]
    if forecast.cost is not None:
        low, high = forecast.cost
        price = f"at {forecast.price_per_hour:g} an hour"
        lines.append(("cost", f"{money(low)} to {money(high)}, {price}"))
    elif forecast.price_per_hour is not None:
        lines.append(
            ("cost", f"not known without the time, at {forecast.price_per_hour:g} an hour")
        )
    return [*lines, ("disk", disk_line(forecast.disk))]


def money(amount: float) -> str:
    """Return `12.50`, of small amounts two digits: `0.0042`."""
    return f"{amount:.2f}" if amount >= 1 else f"{amount:.2g}"


def room_lines(needs: Iterable[Need]) -> list[tuple[str, str]]:
    """Return what each disk will take and has free, and where that is not enough."""
    disks = disks_of(needs)
    lines = [("", disk.text) for disk in disks]
    return lines + [("warning", "not enough room there") for disk in disks if not disk.has_room]


def room_facts(needs: Iterable[Need]) -> list[dict[str, Any]]:
    """Return the same as JSON data: of each disk what will be written below which folder."""
    return [
        {
            "needs": [
                {"purpose": need.purpose, "folder": str(need.folder), "bytes": need.num_bytes}
                for need in disk.needs
            ],
            "needed_bytes": disk.needed_bytes,
            "free_bytes": disk.free_bytes,
            "has_room": disk.has_room,
        }
        for disk in disks_of(needs)
    ]


def time_line(forecast: Forecast) -> str:
    """Return `12:00 to 30:00 (computed: …)`, or why there is no time."""
    if forecast.seconds is None:
        return forecast.basis
    low, high = forecast.seconds
    return f"{clock(low)} to {clock(high)} ({forecast.basis})"


def disk_line(disk: Disk) -> str:
    """Return what is kept where: model and data in the cache, the rest in the run."""
    fetched = ""
    if disk.model_missing_bytes:
        fetched = f" ({readable_size(disk.model_missing_bytes)} to fetch)"
    parts = [f"model {readable_size(disk.model_bytes)}{fetched}"]
    parts.append(f"data {readable_size(disk.data_bytes)}")
    if disk.checkpoint_bytes is not None and disk.result_bytes is not None:
        each = readable_size(disk.checkpoint_bytes)
        parts.append(f"checkpoints {disk.num_checkpoints} x {each}")
        parts.append(f"result {readable_size(disk.result_bytes)}")
    return " · ".join(parts)
