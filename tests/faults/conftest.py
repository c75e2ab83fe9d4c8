"""Undisturbed runs to compare with, trained once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import References
from tests.forked_trainer import ForkedTrainer


@pytest.fixture(scope="session")
def references(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> References:
    return References(tmp_path_factory.mktemp("references"), tiny_model, trainer)
