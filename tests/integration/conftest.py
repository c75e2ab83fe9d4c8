"""The docker backend with its image, and tiny runs in containers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.backends.docker import DockerBackend
from runner.container.build import ensure_image
from runner.container.image import choose_variant
from runner.container.process import ContainerProcess
from runner.plan import read_plan
from runner.record.layout import RunDir
from tests.integration.containers import TOKEN, Launch, wait
from tests.tiny import tiny_run


@pytest.fixture(scope="session")
def backend(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> DockerBackend:
    """The backend with its image, built while a token is in the environment."""
    run = tiny_run(tmp_path_factory.mktemp("plan") / "r", tiny_model)
    backend = DockerBackend()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        backend.prepare(read_plan(run.plan), say=lambda line: print(line, file=sys.__stderr__))
    return backend


@pytest.fixture(scope="session")
def image() -> str:
    """The tag of the image under test, built where it is absent; TRAINBOX_TEST_VARIANT names it."""
    variant = choose_variant(os.environ.get("TRAINBOX_TEST_VARIANT") or "cpu")
    return ensure_image(variant, say=lambda line: print(line, file=sys.__stderr__))


@pytest.fixture
def launch(backend: DockerBackend, tiny_model: Path, tmp_path: Path) -> Iterator[Launch]:
    """Launch a tiny run in a container; what still runs at the end is removed."""
    started: list[ContainerProcess] = []

    def launch(**sections: Any) -> tuple[RunDir, ContainerProcess]:
        run = tiny_run(tmp_path / f"docker-{os.getpid()}-{len(started)}", tiny_model, **sections)
        environment = {"TRAINBOX_ATTEMPT": "1", "TRAINBOX_SUPERVISOR_PID": str(os.getpid())}
        started.append(backend.launch(run, environment, -1))
        return run, started[-1]

    yield launch
    for process in started:
        process.kill()
        wait(process)
        process.kill()
        process.terminal.close()
