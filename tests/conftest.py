"""Fixtures every test may use: a tiny chat model, and a trainer that starts without an import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forked_trainer import ForkedTrainer
from tests.tiny import write_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of 0.1 M random parameters with tokenizer and ChatML template."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def trainer() -> Iterator[ForkedTrainer]:
    """A backend whose training processes fork from one import of the training stack."""
    trainer = ForkedTrainer()
    yield trainer
    trainer.close()


@pytest.fixture(scope="session", autouse=True)
def local_tracking_server() -> Iterator[None]:
    """Start no MLflow container unless a test asks for one; its kind depends on the machine.

    A server that answers slowly, on a busy machine, counts as one that answers.
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("TRAINBOX_MLFLOW_SERVER", "local")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # 3 where nobody sets it
        yield
