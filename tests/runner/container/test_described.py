"""An image that a user names: ours or not, of this version, for this machine's cards."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from runner.container.described import Described, digest_of, require_ours, require_usable
from runner.container.gpu import gather_facts
from runner.container.image import VARIANTS, image_labels
from runner.errors import BackendError
from tests.env_check.recorded import RecordedSystem, load_host


def image_of(name: str, **labels: str) -> Described:
    config = {"Labels": image_labels(VARIANTS[name]) | labels}
    return Described(
        reference="r/n:1", image_id="i", digest=None, machine="amd64", config=config, history=()
    )


def refused(image: Described, host: str, *, wants_gpu: bool = True) -> BackendError | None:
    facts = gather_facts(RecordedSystem(load_host(host)))
    try:
        require_usable(image, facts=facts, wants_gpu=wants_gpu)
    except BackendError as error:
        return error
    return None


def test_an_image_of_ours_is_known_by_its_labels() -> None:
    """Title and the labels that a run records; another one is named by what it lacks."""
    require_ours(image_of("cpu"))
    others: list[dict[str, Any]] = [
        {},
        {"Labels": {"org.opencontainers.image.title": "other"}},
        {"Labels": {"org.opencontainers.image.title": "trainbox"}},
        {"Labels": image_labels(VARIANTS["mlflow"])},
    ]
    for config in others:
        with pytest.raises(BackendError, match="image-foreign"):
            require_ours(dataclasses.replace(image_of("cpu"), config=config))


def test_an_image_of_another_version_is_refused() -> None:
    """The plan that is written here is read in there."""
    error = refused(image_of("cpu", **{"org.opencontainers.image.version": "9"}), "ubuntu-rtx4090")
    assert error and error.id == "image-other-version" and "9" in error.what


@pytest.mark.parametrize(
    ("host", "variant", "reason"),
    [
        ("ubuntu-rtx4090", "cpu", "it is for the CPU"),
        ("v100-535", "cu130", "compute capability 7.0"),
        ("p100", "cu128", "compute capability 6.0"),
        ("driver-470", "cu126", "needs driver 525.60.13 or newer"),
    ],
)
def test_an_image_that_a_card_or_driver_excludes_is_refused(
    host: str, variant: str, reason: str
) -> None:
    """Before it is pulled, with the reason; on the CPU any image trains."""
    error = refused(image_of(variant), host)
    assert error and error.id == "image-not-for-this-gpu" and reason in error.what
    assert "leave out --image" in error.fix or "driver 580" in error.fix
    assert refused(image_of(variant), host, wants_gpu=False) is None


def test_an_image_for_another_processor_is_refused() -> None:
    """An image for arm64 starts on x86-64 only where an emulator is installed."""
    image = dataclasses.replace(image_of("cpu"), machine="arm64")
    error = refused(image, "cpu-only", wants_gpu=False)
    assert error and error.id == "image-other-machine"


@pytest.mark.parametrize(("host", "variant"), [("v100-535", "cu128"), ("p100", "cu126")])
def test_an_image_that_fits_is_taken(host: str, variant: str) -> None:
    """What `env-check choose` would take passes."""
    assert refused(image_of(variant), host) is None


@pytest.mark.parametrize(
    ("reference", "digest"),
    [
        ("b.example/n:1", "sha256:2"),
        ("b.example/n@sha256:2", "sha256:2"),
        ("trainbox:cpu-0", "sha256:1"),
    ],
)
def test_the_digest_is_that_of_the_registry_that_was_named(reference: str, digest: str) -> None:
    """An image can lie at several; a local name takes the first."""
    known = {"RepoDigests": ["a.example:5000/n@sha256:1", "b.example/n@sha256:2"]}
    assert digest_of(known, reference) == digest
    assert digest_of({"RepoDigests": None}, reference) is None
