"""When a finite loss says that training is lost."""

from __future__ import annotations

import math
from collections import deque

WINDOW = 20  # steps: a hard batch is not a divergence
WORSE = 2.0


class Divergence:
    """Watches the loss of a language model (nats a token).

    It has diverged when, over twenty steps on end, the model does worse than guessing every token
    of its vocabulary alike, and twice as badly as it has done before: both together happen neither
    to a model that begins untrained nor to one that meets hard text.
    """

    def __init__(self, vocabulary: int) -> None:
        self._guessing = math.log(vocabulary)
        self._window: deque[float] = deque(maxlen=WINDOW)
        self._best = math.inf

    def has_diverged(self, loss: float) -> bool:
        """Take the loss of the next step; return whether training is lost."""
        self._window.append(loss)
        if len(self._window) < WINDOW:
            return False
        mean = sum(self._window) / WINDOW
        self._best = min(self._best, mean)
        return min(self._window) > self._guessing and mean > WORSE * self._best
