"""What a rule says of a machine: layers, status, findings, and the exit code they add up to."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace


class Status(str, enum.Enum):
    """How a finding counts; unknown is never ok."""

    OK = "ok"
    WARN = "warn"
    UNKNOWN = "unknown"
    FAIL = "fail"


class Layer(enum.IntEnum):
    """The layers of a training stack, lowest first. A fault is looked for from below."""

    PLATFORM = 0
    HARDWARE = 1
    KERNEL_MODULE = 2
    DRIVER = 3
    CONTAINER = 4
    DEVICE = 5
    PYTHON = 6
    TORCH = 7
    COMPANIONS = 8
    EXTENSIONS = 9
    STORAGE = 10
    NETWORK = 11
    JOB = 12
    TRIED = 13

    @property
    def label(self) -> str:
        """The word of reports; the container's is that of `env-check explain`."""
        if self is Layer.CONTAINER:
            return "container-runtime"
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, doubtful or not to be seen, with its way out."""

    id: str
    """Family and three digits (`DRV202`), never used again for something else."""
    status: Status
    layer: Layer
    what: str
    """The fault in one clause."""
    evidence: tuple[str, ...]
    """The values it was seen by, one a line."""
    why: str
    """Why that matters to training."""
    fix: tuple[str, ...]
    """Commands or edits in the order to try them."""
    verify: str
    """The command that shows it mended, and what it should print."""
    cause_id: str = ""
    """The label of the same cause in `env-check explain`; empty where that has none."""
    follows: tuple[Finding, ...] = ()
    """Findings that this one explains."""

    def with_follower(self, other: Finding) -> Finding:
        return replace(self, follows=(*self.follows, other))


EXIT_FINE, EXIT_FAULT, EXIT_UNKNOWN = 0, 1, 3


def exit_code(findings: Iterable[Finding]) -> int:
    """Return what the findings amount to: 0 fine or warnings, 1 a fault, 3 a decisive unknown."""
    statuses = {finding.status for finding in findings}
    if Status.FAIL in statuses:
        return EXIT_FAULT
    return EXIT_UNKNOWN if Status.UNKNOWN in statuses else EXIT_FINE
