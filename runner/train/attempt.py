"""One start of a run, as the recipes see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner.plan import Plan
from runner.record.heartbeat import Heartbeat
from runner.record.journal import Journal
from runner.record.layout import RunDir
from runner.train.stop import Stop
from runner.train.terminal import Terminal


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What a recipe works with: what to do, where to write, whom to tell, when to stop."""

    run: RunDir
    plan: Plan
    journal: Journal
    heartbeat: Heartbeat
    terminal: Terminal
    stop: Stop

    def phase(self, name: str) -> None:
        """Say what a person is waiting for."""
        self.journal.write("phase", name=name)

    def warn(self, id: str, message: str, **fields: Any) -> None:
        self.journal.write("warning", id=id, message=message, **fields)

    @property
    def job(self) -> dict[str, Any]:
        return self.plan.job
