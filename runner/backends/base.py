"""What every backend offers: start the training process somewhere, watch it, signal it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol, runtime_checkable

from runner.plan import Plan
from runner.record.layout import RunDir


class Process(Protocol):
    """A training process that was launched."""

    pid: int

    is_out_of_memory: bool | None
    """After its end: whether the kernel killed (part of) it for want of memory; None: unknown."""
    ended: float | None
    """After its end: when that was, in seconds since 1970; None where it was seen to end."""

    @property
    def terminal(self) -> BinaryIO | None:
        """Its standard output: lines for the terminal, never written to a file."""
        ...

    def poll(self) -> int | None:
        """Return the exit code (negative: killed by that signal), or None while it runs.

        Raises:
            BackendError: how it ended can no longer be found out.
        """
        ...

    def send_signal(self, signal_number: int) -> None:
        """Pass a signal on; a process that is gone is no error."""
        ...

    def is_paused(self) -> bool:
        """Return whether somebody keeps it from running, so that its silence says nothing."""
        ...

    def kill(self) -> None:
        """End the process and all its children at once."""
        ...


class Backend(Protocol):
    """A place where `python -m runner.train RUN_DIR` can be started."""

    name: str

    def prepare(self, plan: Plan, *, say: Callable[[str], None]) -> None:
        """Have all that `launch` needs, such as an image; called before a run is created.

        Raises:
            BackendError: this place cannot be had, or cannot train this plan.
        """
        ...

    def surroundings(self) -> Mapping[str, Any]:
        """Return the sections of the manifest in which this place differs from the host."""
        ...

    def launch(self, run: RunDir, environment: Mapping[str, str], lock_fd: int) -> Process:
        """Start the training process of a run directory that holds a plan.

        Args:
            run: the run directory.
            environment: variables set on top of the backend's own.
            lock_fd: descriptor of the run's lock; kept open by the process as long as it lives.
        """
        ...


@runtime_checkable
class OutlivesSupervisor(Protocol):
    """What a backend offers besides whose processes go on when their supervisor dies."""

    def adopt(self, run: RunDir, *, say: Callable[[str], None]) -> Process | None:
        """Return the process of a run's newest attempt, running or ended; None: it is not known."""
        ...
