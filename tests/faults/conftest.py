"""Undisturbed runs to compare with, trained once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import References
from tests.forked_trainer import ForkedTrainer

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here: `make test-faults` runs it."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("faults")


@pytest.fixture(scope="session")
def references(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> References:
    return References(tmp_path_factory.mktemp("references"), tiny_model, trainer)
