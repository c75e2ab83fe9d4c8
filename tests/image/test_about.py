"""What `docker run IMAGE` says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner import __version__


@pytest.fixture(autouse=True)
def image_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "image"))


def test_a_cuda_image_names_its_stack_and_what_a_host_needs() -> None:
    """Version, variant, torch, CUDA, the driver's floor and the cards, from the build's facts."""
    from about import describe

    facts = {"torch": "2.13.0", "cuda": "13.0", "architectures": ["8.0", "9.0"]}
    said = describe(facts, "cu130")
    assert said.startswith(f"trainbox {__version__}, image cu130: torch 2.13.0 (CUDA 13.0), Python")
    assert "driver 580" in said and "compute capability 8.0, 9.0" in said


def test_the_cpu_image_names_the_others() -> None:
    """Somebody with a card learns that this one does not use it."""
    from about import describe

    said = describe({"torch": "2.13.0+cpu", "cuda": None}, "cpu")
    assert "CPU build" in said and "cu130" in said and "driver" not in said
