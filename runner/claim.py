"""Who works in a run directory: one supervisor, and one training process, at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from runner.errors import BackendError
from runner.record.layout import RunDir
from runner.record.state import Lock, is_locked

LOOK_SECONDS = 1.0  # `trainbox runs` holds a lock for a moment when it looks


@contextmanager
def only_supervisor(run: RunDir) -> Iterator[None]:
    """Keep a second supervisor out.

    Raises:
        BackendError: there is one.
    """
    lock = Lock(run, run.supervisor_lock)
    try:
        if not lock.acquire(LOOK_SECONDS):
            raise in_use(run, is_attended=True)
        yield
    finally:
        lock.close()


@contextmanager
def only_trainer(run: RunDir, grace_seconds: float) -> Iterator[Lock]:
    """Hold the lock that a training process without a supervisor holds.

    Args:
        grace_seconds: how long the child of a supervisor that was killed may write its checkpoint;
            a container goes on, and is not waited for.

    Raises:
        BackendError: a training process is at work.
    """
    lock = Lock(run)
    try:
        if not lock.acquire(LOOK_SECONDS if outlives_supervisor(run) else grace_seconds):
            raise in_use(run, is_attended=False)
        yield lock
    finally:
        lock.close()


def outlives_supervisor(run: RunDir) -> bool:
    """Return whether the newest attempt is a container; on the host nothing outlives for long."""
    try:
        facts = json.loads(run.supervisor.read_text(encoding="utf-8"))
        return bool(facts["backend"] == "docker")
    except (OSError, ValueError, KeyError, TypeError):
        return True  # no attempt has begun, or its first moments: nothing to wait for


def refuse_in_use(run: RunDir) -> None:
    """Refuse a run that is running, before anything is prepared for it.

    Raises:
        BackendError: it is.
    """
    if is_locked(run):
        raise in_use(run, is_attended=is_locked(run, run.supervisor_lock))


def in_use(run: RunDir, *, is_attended: bool) -> BackendError:
    """Return the error for a run that somebody works in already."""
    fix = f"wait for it, or stop it: `trainbox stop {run.run_id}`"
    if not is_attended:
        fix = "wait for it: its supervisor is gone, and it saves and ends"
        if outlives_supervisor(run):
            fix = f"take it over, its supervisor is gone: `trainbox attach {run.run_id}`"
    return BackendError(
        id="run-in-use",
        what=f"run {run.run_id} is running already",
        where=str(run.path),
        why="two training processes in one run directory would destroy each other's work",
        fix=fix,
    )
