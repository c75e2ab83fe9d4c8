"""Compiled layers are found again by the next run, on the host too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.levers import Levers
from runner.train.kernels import kernel_caches
from tests.runner.plans import tiny_plan


def test_compiled_layers_are_kept_in_our_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that compiles keeps what it compiled beside our cache's other folders."""
    monkeypatch.setenv("TRAINBOX_CACHE", "/cache")
    training = replace(tiny_plan().training, levers=Levers(compile=True))
    assert kernel_caches(training) == {
        "TORCHINDUCTOR_CACHE_DIR": "/cache/kernels-host/inductor",
        "TRITON_CACHE_DIR": "/cache/kernels-host/triton",
    }


def test_a_run_that_compiles_nothing_leaves_no_programs() -> None:
    """Other kernels cost seconds; they stay where their libraries put them."""
    assert kernel_caches(tiny_plan().training) == {}
