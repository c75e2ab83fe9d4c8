"""The errors a person can act on: what happened, where, why it matters, and the fix.

    TrainboxError           one fault
    ├── JobError            the job file or a command-line argument is wrong (exit 2)
    ├── DataError           a data file or a row is wrong (exit 2)
    ├── PlanError           the job is well-formed but cannot be planned here (exit 2)
    ├── BackendError        the place to run in cannot be had (exit 1)
    ├── CheckpointError     a checkpoint cannot be used or written (exit 1)
    ├── TrainingError       the training process failed (exit 1)
    └── Faults              several of the above, found together

A fault never carries text of a training sample or a secret: `where` names file, line and field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Exit codes of the command line, `DESIGN`-level contract: documented in docs/errors.md.
EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_REFUSED = 2
EXIT_LIMIT = 3
EXIT_PREEMPTED = 75
EXIT_STOPPED = 130


@dataclass(frozen=True, kw_only=True)
class Where:
    """A place in a file of the user: printed as `file:line`."""

    file: Path | str
    line: int | None = None  # 1-based; None where the fault is the whole file

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else str(self.file)


class TrainboxError(Exception):
    """One fault in four parts, composed from facts by the subclass or the caller.

    Args:
        id: lower-case words joined by `-`, stable for ever (`job-unknown-key`).
        what: one line, with the value seen and the one expected.
        where: file and line, or None where no file is involved.
        why: one line: what would go wrong if this were let through.
        fix: one command or one edit.
    """

    exit_code = EXIT_FAILED

    def __init__(
        self, *, id: str, what: str, why: str, fix: str, where: Where | str | None = None
    ) -> None:
        self.id = id
        self.what = what
        self.where = where
        self.why = why
        self.fix = fix
        super().__init__(self.render())

    def render(self) -> str:
        """Return the fault as the text shown to a person (no trailing newline)."""
        lines = [f"error[{self.id}]: {self.what}"]
        if self.where is not None:
            lines.append(f"  where: {self.where}")
        lines.append(f"  why:   {self.why}")
        lines.append(f"  fix:   {self.fix}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, str | None]:
        """Return the fault as plain data for `--json`."""
        return {
            "id": self.id,
            "what": self.what,
            "where": None if self.where is None else str(self.where),
            "why": self.why,
            "fix": self.fix,
        }


class JobError(TrainboxError):
    """The job file, or an argument of the command line, is wrong."""

    exit_code = EXIT_REFUSED


class DataError(TrainboxError):
    """A data file, a row or a column is wrong."""

    exit_code = EXIT_REFUSED


class PlanError(TrainboxError):
    """A well-formed job cannot be planned here: model absent, does not fit, conflicting."""

    exit_code = EXIT_REFUSED


class BackendError(TrainboxError):
    """The place to run in (host environment, Docker engine, tracking server) cannot be had."""


class CheckpointError(TrainboxError):
    """A checkpoint cannot be written, or none can be used."""


class TrainingError(TrainboxError):
    """The training process failed."""


class Faults(TrainboxError):
    """Several faults found together; printed one after the other, decided by the worst."""

    def __init__(self, faults: Sequence[TrainboxError]) -> None:
        assert faults, "an empty list of faults is not an error"
        self.faults = tuple(faults)
        Exception.__init__(self, self.render())

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # a class attribute above
        return max(fault.exit_code for fault in self.faults)

    def render(self) -> str:
        return "\n\n".join(fault.render() for fault in self.faults)

    def to_dict(self) -> dict[str, object]:  # type: ignore[override]  # several, not one
        return {"faults": [fault.to_dict() for fault in self.faults]}
