"""Exceptions of the training stack become faults with a fix, without the stack."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from runner.train.faults import explain
from tests.runner.plans import tiny_plan

WORKER = "train-worker-died"


class OutOfMemoryError(RuntimeError):
    """Stands for torch.OutOfMemoryError, which is known by its name."""


@pytest.mark.parametrize(
    ("error", "id"),
    [
        (OutOfMemoryError("tried to allocate 2 GiB"), "train-out-of-memory"),
        (MemoryError(), "train-out-of-memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "train-out-of-memory"),
        (RuntimeError("x does not have a deterministic implementation"), "train-not-deterministic"),
        (ImportError("libcudart.so.13: cannot open shared object"), "train-broken-stack"),
        (OSError(errno.ENOSPC, "No space left on device"), "train-disk-full"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), WORKER),
        (ConnectionResetError(104, "Connection reset by peer"), WORKER),
        (EOFError(), WORKER),
        (KeyError("anything else"), "train-crashed"),
    ],
)
def test_every_exception_becomes_a_fault(error: Exception, id: str) -> None:
    """The cause is named where it is known, and what is not known points at the log."""
    plan = tiny_plan()
    fault = explain(error, replace(plan, training=replace(plan.training, num_workers=2)))
    assert fault.id == id and fault.fix


def test_a_pipe_that_ends_is_no_workers_where_there_are_none() -> None:
    """Without data workers it is something nobody expected."""
    plan = tiny_plan()
    alone = replace(plan, training=replace(plan.training, num_workers=0))
    assert explain(EOFError(), alone).id == "train-crashed"


def test_a_long_message_is_cut() -> None:
    """A failure is one short line; the whole text is in the log."""
    fault = explain(ValueError("a" * 1000 + "\nsecond line"), tiny_plan())
    assert len(fault.what) < 250 and "second" not in fault.what
