"""What state a run is in: read from the journal, and from who holds the lock."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from runner.errors import PlanError
from runner.record.journal import Event, read_events
from runner.record.layout import RunDir
from runner.record.root import unusable

# `running`, `interrupted` and `damaged` are not in the journal.
RESUMABLE = {"interrupted", "failed", "stopped", "preempted", "limit"}


@dataclass(frozen=True, kw_only=True)
class RunState:
    """A run as `trainbox runs` and `trainbox show` tell it."""

    run_id: str
    status: str  # running | finished | failed | stopped | preempted | limit | interrupted | damaged
    backend: str | None  # of the newest attempt
    is_attended: bool  # a supervisor watches it; `attach` is for those that nobody watches
    reason: str | None
    exit_code: int | None
    attempts: int
    step: int  # optimiser steps done, of all attempts
    num_steps: int | None
    loss: float | None  # of the newest step
    loss_before: float | None  # held-out
    loss_after: float | None
    started: float | None  # seconds since 1970
    seconds: float | None  # of all attempts together, each to its newest event
    tokens: int
    peak_memory_bytes: int | None  # device; on a CPU resident
    peak_reserved_bytes: int | None  # by the allocator of a device
    checkpoint: str | None  # newest sealed one, by the journal


def read_state(run: RunDir) -> RunState:
    """Read the state of a run; one whose journal makes no sense is `damaged`, not an exception."""
    is_running = is_locked(run)
    is_attended = is_running and is_locked(run, run.supervisor_lock)
    try:
        events = read_events(run.journal)
        return state_from_events(run.run_id, events, is_running, is_attended=is_attended)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        state = state_from_events(run.run_id, [], is_running, is_attended=is_attended)
        reason = f"{run.journal.name} cannot be read ({type(error).__name__})"
        return replace(state, status="running" if is_running else "damaged", reason=reason)


def damaged(run: RunDir, file: Path) -> PlanError:
    """Return the error for a run one of whose files is not what was written."""
    return PlanError(
        id="run-damaged",
        what=f"{file.name} of {run.run_id} cannot be read",
        where=str(file),
        why="the run cannot go on without it; its checkpoints and adapter are still there",
        fix="restore the file from a backup, or start the job again as a new run",
    )


def state_from_events(
    run_id: str, events: list[Event], locked: bool, *, is_attended: bool = False
) -> RunState:
    """Derive the state from the journal and the two locks."""
    starts = [event for event in events if event["event"] == "start"]
    steps = {event["step"]: event for event in events if event["event"] == "step"}
    newest = steps[max(steps)] if steps else None
    evals = {event.get("phase"): event["loss"] for event in events if event["event"] == "eval"}
    checkpoints = [event["checkpoint"] for event in events if event["event"] == "checkpoint"]
    last = events[-1] if events else None
    end = last if last is not None and last["event"] == "end" else None
    if locked and end is None:
        status = "running"
    else:
        status = end["status"] if end else "interrupted"
    return RunState(
        run_id=run_id,
        status=status,
        backend=starts[-1].get("backend") if starts else None,
        is_attended=is_attended,
        reason=end.get("reason") if end else _open_end(starts, status, is_attended),
        exit_code=end.get("exit_code") if end else None,
        attempts=len(starts),
        step=newest["step"] if newest else 0,
        num_steps=starts[-1].get("num_steps") if starts else None,
        loss=newest["loss"] if newest else None,
        loss_before=evals.get("before"),
        loss_after=evals.get("after"),
        started=starts[0]["time"] if starts else None,
        seconds=_seconds_at_work(events) if starts else None,
        tokens=sum(event.get("tokens") or 0 for event in steps.values()),
        peak_memory_bytes=_most(steps.values(), "peak_memory_bytes"),
        peak_reserved_bytes=_most(steps.values(), "peak_reserved_bytes"),
        checkpoint=checkpoints[-1] if checkpoints else None,
    )


def _seconds_at_work(events: Iterable[Event]) -> float:
    """Return how long the attempts took; between two of them the run may have lain for days."""
    times: dict[int, list[float]] = {}
    for event in events:
        if "time" in event:
            times.setdefault(event["attempt"], []).append(event["time"])
    return sum(max(each) - min(each) for each in times.values())


def _most(events: Iterable[Event], key: str) -> int | None:
    return max((event[key] for event in events if event.get(key)), default=None)


def _open_end(starts: list[Event], status: str, is_attended: bool) -> str | None:
    """Return what is known of an attempt whose end nobody has written down."""
    if not starts or is_attended:
        return None
    is_container = starts[-1].get("backend") == "docker"
    if status == "running":
        goes_on = "the container trains on" if is_container else "the process saves and ends"
        return f"its supervisor is gone, {goes_on}"
    return "nobody saw its container end; the engine may know how" if is_container else None


class Lock:
    """A lock of a run: unless another file is given, the one that its training process inherits."""

    def __init__(self, run: RunDir, path: Path | None = None) -> None:
        self.fd = os.open(path or run.lock, os.O_RDWR | os.O_CREAT, 0o644)
        os.set_inheritable(self.fd, True)

    def acquire(self, timeout_seconds: float) -> bool:
        """Take the lock; return False if somebody still holds it after the time-out."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.1)

    def close(self) -> None:
        os.close(self.fd)


def is_locked(run: RunDir, path: Path | None = None) -> bool:
    """Return whether a supervisor or a training process of this run is alive.

    Args:
        path: another of the run's locks.
    """
    try:
        lock = os.open(path or run.lock, os.O_RDONLY)  # the run may be another user's
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: those who look meet no lock
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def list_runs(root: Path) -> list[RunDir]:
    """Return all runs below a root that this user may read, oldest first.

    Raises:
        PlanError: the root is no folder, or may not be read.
    """
    try:
        found = [RunDir(path) for path in root.iterdir() if os.access(path / "plan.json", os.R_OK)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unusable(root, error.strerror or type(error).__name__) from error
    return sorted(found, key=lambda run: run.plan.stat().st_mtime_ns)


def read_identity(run: RunDir) -> str | None:
    """Return the identity of a run's plan, or None where the plan cannot be read."""
    try:
        identity = json.loads(run.plan.read_text(encoding="utf-8")).get("identity")
    except (OSError, ValueError):
        return None
    return identity if isinstance(identity, str) else None
