"""Progress: one line with what matters, plain lines without a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest

from runner.progress import Progress, clock, event_line, refined_line, step_line

STEP: dict[str, Any] = {
    "event": "step", "step": 12, "loss": 1.23456, "tokens_per_second": 210.4,
    "step_seconds": 2.0, "peak_memory_bytes": 2 * 2**30,
}  # fmt: skip


def test_the_step_line_says_step_loss_rate_time_and_memory() -> None:
    """One line answers how far, how good, how fast, how long, how big."""
    line = step_line(STEP, 75, [2.0, 4.0])
    assert line == "step 12/75 · loss 1.235 · 210 tokens/s · 3:09 left · 2.0 GiB"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00")]
)
def test_clock(seconds: float, text: str) -> None:
    """Durations read as minutes and seconds, with hours where there are any."""
    assert clock(seconds) == text


def test_without_a_terminal_plain_lines_are_rare() -> None:
    """A log file gets a line now and then, and always the last step; no control characters."""
    stream = io.StringIO()
    progress = Progress(100, stream)
    for step in range(1, 101):
        progress.event(STEP | {"step": step})
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3 and lines[-1].startswith("step 100/100")
    assert lines[1] == "at the measured speed: 3:20 for 100 steps, evaluations apart"
    assert "\x1b" not in stream.getvalue() and "\r" not in stream.getvalue()


def test_the_forecast_is_put_right_with_what_it_costs() -> None:
    """Time of all steps at the speed of the first ones, and the price of that time."""
    line = refined_line([2.0, 4.0], 1200, 2.5)
    assert line == (
        "at the measured speed: 1:00:00 for 1200 steps, evaluations apart; 2.50 at 2.5 an hour"
    )


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"event": "eval", "phase": "before", "loss": 2.5}, "held-out loss before training: 2.5"),
        ({"event": "eval", "phase": "during", "step": 7, "loss": 2.0}, "held-out loss at step 7"),
        (
            {"event": "resume", "step": 0, "checkpoint": None,
             "skipped": [{"checkpoint": "step-6", "reason": "hash differs"}]},
            "no checkpoint is whole: starting over; newer but damaged, put aside: "
            "step-6: hash differs",
        ),
        (
            {"event": "resume", "step": 4, "checkpoint": "step-4",
             "skipped": [{"checkpoint": "step-6", "reason": "hash differs"}]},
            "resuming from step-4 (step 4); newer but damaged, put aside: step-6: hash differs",
        ),
        ({"event": "warning", "id": "w", "message": "m"}, "warning[w]: m"),
        (
            {"event": "checkpoint", "checkpoint": "step-4", "bytes": 2**20, "seconds": 0.5},
            "checkpoint step-4 (1.0 MiB, 0.5 s)",
        ),
    ],
)  # fmt: skip
def test_lines_that_stay(event: dict[str, Any], text: str) -> None:
    """Each event that stays on the screen reads as a sentence."""
    assert event_line(event).startswith(text)
