"""The fault of a set-up: what pip, venv or the disk said, in the four parts of every error."""

from __future__ import annotations

from runner.errors import TrainboxError


class SetupError(TrainboxError):
    """The environment cannot be built (exit 1)."""
