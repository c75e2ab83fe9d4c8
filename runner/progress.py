"""What a person sees while a run goes on: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.status import Status

from runner.record.journal import Event

PLAIN_SECONDS = 10.0  # between two plain lines
RATE_STEPS = 20  # the time left follows from the newest so many steps
REFINE_AT = 6  # the step after which the forecast is put right: the first warms up

PHASES = {
    "load_model": "loading the base model",
    "load_data": "loading the data",
    "build_trainer": "building the trainer",
    "train": "training",
    "evaluate": "measuring the held-out loss",
    "save": "saving",
    "import": "starting PyTorch",
}


class Progress:
    """Turns journal events into progress on stderr.

    Args:
        num_steps: optimiser steps of the whole run.
        stream: where to write; a terminal gets one live line.
        price_per_hour: what an hour costs, or None.
    """

    def __init__(
        self,
        num_steps: int,
        stream: TextIO | None = None,
        *,
        price_per_hour: float | None = None,
    ) -> None:
        self.num_steps = num_steps
        self.price_per_hour = price_per_hour
        self.stream = stream or sys.stderr
        self._status: Status | None = None
        if self.stream.isatty():
            from rich.console import Console  # 0.1 s: only where somebody looks

            self._status = Console(file=self.stream).status("starting the training process")
            self._status.start()
        self._seconds: list[float] = []
        self._last_plain = 0.0

    def say(self, line: str) -> None:
        """Print a line that stays."""
        if self._status is not None:
            self._status.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=self.stream, flush=True)

    def event(self, event: Event) -> None:
        """Show one line of the journal."""
        kind = event["event"]
        if kind == "step":
            self._seconds = [*self._seconds, event["step_seconds"]][-RATE_STEPS:]
            last = event["step"] >= self.num_steps
            if event["step"] == REFINE_AT and not last:
                self.say(refined_line(self._seconds[1:], self.num_steps, self.price_per_hour))
            self._live(step_line(event, self.num_steps, self._seconds), force=last)
        elif kind == "phase":
            self._live(PHASES.get(event["name"], str(event["name"])), force=True)
        elif kind in ("eval", "checkpoint", "resume", "warning"):
            self.say(event_line(event))

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()

    def _live(self, line: str, *, force: bool) -> None:
        if self._status is not None:
            self._status.update(line)
            return
        now = time.monotonic()
        if force or now - self._last_plain >= PLAIN_SECONDS:
            self._last_plain = now
            print(line, file=self.stream, flush=True)


def step_line(event: Event, num_steps: int, seconds: list[float]) -> str:
    """Return `step 12/75 · loss 1.234 · 210 tokens/s · 3:20 left · 1.9 GiB`."""
    left = (num_steps - event["step"]) * sum(seconds) / len(seconds)
    parts = [
        f"step {event['step']}/{num_steps}",
        f"loss {event['loss']:.4g}",
        f"{event['tokens_per_second']:.0f} tokens/s",
        f"{clock(left)} left",
    ]
    if event.get("peak_memory_bytes"):
        parts.append(f"{event['peak_memory_bytes'] / 2**30:.1f} GiB")
    return " · ".join(parts)


def refined_line(seconds: list[float], num_steps: int, price_per_hour: float | None) -> str:
    """Return what all steps will take at the speed of the first ones, and what that costs.

    Args:
        seconds: of the steps that were measured.
    """
    whole = num_steps * sum(seconds) / len(seconds)
    line = f"at the measured speed: {clock(whole)} for {num_steps} steps, evaluations apart"
    if price_per_hour is not None:
        line += f"; {whole / 3600 * price_per_hour:.2f} at {price_per_hour:g} an hour"
    return line


def event_line(event: Event) -> str:
    """Return the line for an event that stays on the screen."""
    if event["event"] == "eval":
        when = {"before": "before training", "after": "after training"}.get(
            event["phase"], f"at step {event.get('step')}"
        )
        return f"held-out loss {when}: {event['loss']:.4f}"
    if event["event"] == "checkpoint":
        size = event["bytes"] / 2**20
        return f"checkpoint {event['checkpoint']} ({size:.1f} MiB, {event['seconds']:.1f} s)"
    if event["event"] == "resume":
        skipped = event.get("skipped") or []
        text = f"resuming from {event['checkpoint']} (step {event['step']})"
        if event["checkpoint"] is None:
            text = "no checkpoint is whole: starting over"
        if skipped:
            names = ", ".join(f"{skip['checkpoint']}: {skip['reason']}" for skip in skipped)
            text += f"; newer but damaged, put aside: {names}"
        return text
    return f"warning[{event['id']}]: {event['message']}"


def clock(seconds: float) -> str:
    """Return seconds as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
