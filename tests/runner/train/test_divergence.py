"""A finite loss that says that training is lost, and losses that do not."""

from __future__ import annotations

import math

from runner.train.divergence import WINDOW, Divergence

VOCABULARY = 1000
GUESSING = math.log(VOCABULARY)


def diverges(losses: list[float]) -> bool:
    watch = Divergence(VOCABULARY)
    return any(watch.has_diverged(loss) for loss in losses)


def test_a_loss_that_ran_away_is_seen() -> None:
    """It was low, and is now worse than guessing for a whole window."""
    assert diverges([1.0] * WINDOW + [2 * GUESSING] * WINDOW)


def test_a_few_bad_steps_are_not() -> None:
    """Hard batches and a spike that comes down again end no run."""
    assert not diverges([1.0] * WINDOW + [50.0] * (WINDOW - 1) + [1.0] * WINDOW)


def test_an_untrained_model_is_not() -> None:
    """A model that begins above guessing, and stays there, has not run away."""
    assert not diverges([1.2 * GUESSING] * 5 * WINDOW)
    assert not diverges([3.0] * WINDOW + [0.9 * GUESSING] * 5 * WINDOW)
