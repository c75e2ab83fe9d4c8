"""What earlier attempts wrote into the journal, for the attempt that goes on from them."""

from __future__ import annotations

from collections.abc import Iterable

from runner.record.journal import BATCH_SKIPPED, Event

# What a replayed step must repeat bit for bit; the clock and the memory may differ.
REPLAYED = ("loss", "learning_rate", "grad_norm", "tokens", "supervised_tokens")
# The same where the earlier attempt had split the step otherwise, and so rounded otherwise.
REPLAYED_OTHER_SPLIT = ("learning_rate", "tokens", "supervised_tokens")


class Past:
    """The journal so far.

    Args:
        events: all of its lines.
        micro_batch_size: of this attempt.
    """

    def __init__(self, events: Iterable[Event], micro_batch_size: int) -> None:
        self.evals: set[tuple[str, int]] = set()
        self.skipped: set[int] = set()
        self._steps: dict[int, Event] = {}
        self._splits: dict[int, int] = {}  # attempt → micro-batch
        self._micro_batch_size = micro_batch_size
        for event in events:
            if event["event"] == "step":
                self._steps[event["step"]] = event
            elif event["event"] == "eval":
                self.evals.add((event["phase"], event["step"]))
            elif event["event"] == "start" and "micro_batch_size" in event:
                self._splits[event["attempt"]] = event["micro_batch_size"]
            elif event["event"] == "warning" and event["id"] == BATCH_SKIPPED:
                self.skipped.add(event["step"])

    def has_step(self, step: int) -> bool:
        return step in self._steps

    def losses_until(self, step: int) -> list[float]:
        """Return the losses of all steps up to one, in order."""
        return [self._steps[one]["loss"] for one in sorted(self._steps) if one <= step]

    def differences(self, event: Event) -> str | None:
        """Return in what a step came out differently than the time before, or None."""
        before = self._steps[event["step"]]
        split = self._splits.get(before["attempt"], self._micro_batch_size)
        keys = REPLAYED if split == self._micro_batch_size else REPLAYED_OTHER_SPLIT
        differing = [key for key in keys if repr(before.get(key)) != repr(event[key])]
        if not differing:
            return None
        return (
            f"step {event['step']} came out differently than in attempt {before['attempt']}: "
            + (", ".join(f"{key} {event[key]!r}, was {before.get(key)!r}" for key in differing))
        )
