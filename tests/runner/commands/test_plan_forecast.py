"""What `trainbox plan` says of tokens, time, money and disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from runner.commands.plan_forecast import render_forecast, room_facts, room_lines
from runner.disk import Need
from runner.forecast.run import UNKNOWN_YET, Disk, Forecast

DISK = Disk(
    model_bytes=16_000_000_000,
    model_missing_bytes=4_000_000_000,
    data_bytes=2_000_000,
    checkpoint_bytes=500_000_000,
    num_checkpoints=4,
    result_bytes=170_000_000,
)
FORECAST = Forecast(
    train_tokens=1_000_000,
    eval_tokens=20_000,
    seconds=(3600.0, 7200.0),
    basis="computed",
    price_per_hour=2.5,
    disk=DISK,
)


def test_every_number_has_its_line() -> None:
    """Tokens, a range of time with its basis, what that costs, and what goes onto the disks."""
    said = dict(render_forecast(FORECAST))
    assert said["tokens"] == "1,000,000 trained on · 20,000 evaluated"
    assert said["time"] == "1:00:00 to 2:00:00 (computed)"
    assert said["cost"] == "2.50 to 5.00, at 2.5 an hour"
    assert said["disk"] == (
        "model 16.0 GB (4.0 GB to fetch) · data 2.0 MB · checkpoints 4 x 500.0 MB · result 170.0 MB"
    )


def test_small_sums_are_no_zero() -> None:
    """Seconds on a rented card cost something."""
    said = dict(render_forecast(replace(FORECAST, seconds=(4.0, 14.0))))
    assert said["cost"] == "0.0028 to 0.0097, at 2.5 an hour"


def test_without_a_time_there_is_no_sum() -> None:
    """A price alone says nothing, and without a price nothing is said."""
    unknown = replace(FORECAST, seconds=None, basis=UNKNOWN_YET)
    assert dict(render_forecast(unknown))["cost"].startswith("not known without the time")
    assert "cost" not in dict(render_forecast(replace(unknown, price_per_hour=None)))


def test_a_disk_that_is_too_small_is_warned_of(tmp_path: Path) -> None:
    """What is needed beside what is free, before anything is started."""
    needs = [Need(purpose="checkpoints", folder=tmp_path, num_bytes=1 << 60)]
    (_, text), (name, warning) = room_lines(needs)
    assert "checkpoints" in text and "free" in text
    assert (name, warning) == ("warning", "not enough room there")
    [disk] = room_facts(needs)
    assert disk["needed_bytes"] == 1 << 60 > disk["free_bytes"] > 0 and not disk["has_room"]
    assert disk["needs"] == [
        {"purpose": "checkpoints", "folder": str(tmp_path), "bytes": disk["needed_bytes"]}
    ]
