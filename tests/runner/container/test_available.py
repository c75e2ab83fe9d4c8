"""Whether an image can be had: asked of a `docker` command that answers as the real one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.container.available import why_no_image
from runner.container.image import VARIANTS

CPU = VARIANTS["cpu"]
NO_ENGINE = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a `docker` 20.10 that is alone on the PATH; it has and reaches what `answers` says."""
    program = tmp_path / "docker"
    program.write_text(
        "#!/bin/sh\n"
        '[ "$1" = --version ] && echo "Docker version 20.10.24, build 297e128" && exit 0\n'
        f'while read -r known; do [ "$*" = "$known" ] && exit 0; done < {tmp_path}/answers\n'
        f"cat {tmp_path}/refusal >&2\nexit 1\n"
    )
    program.chmod(0o755)
    (tmp_path / "answers").write_text("")
    (tmp_path / "refusal").write_text("Error: No such image\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.mark.parametrize(
    "known",
    [
        "image inspect trainbox:cpu",
        f"image inspect {CPU.base_image}",
        f"manifest inspect {CPU.base_image}",
    ],
)
def test_image_base_or_registry_is_enough(
    docker: Path, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    """An image that is here needs nothing else; a build needs its base, here or in the registry."""
    monkeypatch.setattr("runner.container.available.image_tag", lambda *of: "trainbox:cpu")
    (docker / "answers").write_text(known + "\n")
    assert why_no_image(CPU) is None


def test_registry_that_does_not_answer_is_the_reason(docker: Path) -> None:
    """An engine without the base and without a registry cannot build."""
    assert why_no_image(CPU) == (
        "the base image nvidia/cuda:13.0.3-base-ubuntu24.04 is not here and its registry does not "
        "offer it"
    )


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (NO_ENGINE, "no Docker engine answers"),
        ("permission denied while trying to connect to the Docker daemon socket", "this user may"),
    ],
)
def test_engine_that_does_not_answer_is_the_reason(docker: Path, refusal: str, reason: str) -> None:
    """A command without its engine is told from an engine without an image."""
    (docker / "refusal").write_text(refusal)
    assert (why_no_image(CPU) or "").startswith(reason)


def test_no_command_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the `docker` command nothing is asked."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert why_no_image(CPU) == "there is no `docker` command"
