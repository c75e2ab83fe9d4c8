"""Exceptions of the training stack become faults with a fix, without the stack."""

from __future__ import annotations

import pytest

from runner.train.faults import explain
from tests.runner.plans import tiny_plan


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
        (KeyError("anything else"), "train-crashed"),
    ],
)
def test_every_exception_becomes_a_fault(error: Exception, id: str) -> None:
    """The cause is named where it is known, and what is not known points at the log."""
    fault = explain(error, tiny_plan())
    assert fault.id == id and fault.fix


def test_a_long_message_is_cut() -> None:
    """A failure is one short line; the whole text is in the log."""
    fault = explain(ValueError("a" * 1000 + "\nsecond line"), tiny_plan())
    assert len(fault.what) < 250 and "second" not in fault.what
