"""The docker backend before a run: which image, and nothing built for a machine that runs none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runner.backends.docker import DockerBackend
from runner.container.gpu import gather_facts
from runner.errors import BackendError
from tests.env_check.recorded import RecordedSystem, load_host
from tests.runner.plans import tiny_plan

BACKEND, DESCRIBED = "runner.backends.docker", "runner.container.described"


class Engine:
    """An engine that answers `docker info`."""

    def info(self) -> dict[str, Any]:
        return {"ServerVersion": "27.3.1"}


@contextmanager
def connect(**_: Any) -> Iterator[Engine]:
    yield Engine()


@pytest.mark.parametrize("image", [None, "registry.example/team/trainbox:1"])
def test_below_every_floor_nothing_is_built_or_pulled(
    monkeypatch: pytest.MonkeyPatch, image: str | None
) -> None:
    """A driver older than every image's gets the reason and the fix, with `--image` too."""
    facts = gather_facts(RecordedSystem(load_host("driver-470")))
    monkeypatch.setattr(f"{BACKEND}.connect", connect)
    monkeypatch.setattr(f"{BACKEND}.gather_facts", lambda: facts)
    monkeypatch.setattr(f"{BACKEND}.ensure_image", lambda *_, **__: pytest.fail("was built"))
    monkeypatch.setattr(f"{DESCRIBED}.describe", described)
    monkeypatch.setattr(f"{DESCRIBED}.connect", connect)
    monkeypatch.setattr(f"{DESCRIBED}.have", lambda *_, **__: pytest.fail("was pulled"))
    plan = tiny_plan()
    plan = dataclasses.replace(plan, training=dataclasses.replace(plan.training, device="cuda"))
    with pytest.raises(BackendError) as caught:
        DockerBackend(image).prepare(plan, say=print)
    assert caught.value.id == ("image-not-for-this-gpu" if image else "docker-no-gpu")
    assert "driver 580 (the last for this card) allows cu126" in caught.value.fix


def described(_: Any, reference: str) -> Any:
    """Describe the image of most drivers, as its registry would."""
    from runner.container.described import Described
    from runner.container.image import VARIANTS, image_labels

    labels = image_labels(VARIANTS["cu128"])
    return Described(
        reference=reference, image_id=None, digest="sha256:0", machine="amd64",
        config={"Labels": labels}, history=(),
    )  # fmt: skip
