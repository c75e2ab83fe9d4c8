"""`trainbox image compare` and `repro`: what is printed, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.cli import main
from runner.commands.image_repro import SHOWN, render
from runner.container import repro
from runner.container.image import CUDA_13_0, Variant
from runner.container.repro_compare import Difference
from tests.runner.container.test_repro_compare import layer, oci


def test_two_equal_images_end_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing differs: one line says so."""
    images = [str(oci(tmp_path / name, layer())) for name in ("1", "2")]
    assert main(["image", "compare", *images]) == 0
    assert capsys.readouterr().out == "differing    0: the two are the same bytes\n"


def test_each_differing_file_is_a_line_and_the_end_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Layer, path and what differs; then how many by what."""
    one, other = oci(tmp_path / "1", layer()), oci(tmp_path / "2", layer(content=b"SAME"))
    assert main(["image", "compare", str(one), str(other)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "layer 1       opt/a: sha256", "layer 1       opt/b: sha256", "differing    2: 2 by sha256",
    ]  # fmt: skip
    assert main(["image", "compare", str(one), str(other), "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["differences"]) == 2


def test_many_differences_are_counted_and_the_first_shown() -> None:
    """A terminal is not filled; --json has them all."""
    many = [Difference(layer=0, path=f"/{n}", what="configuration") for n in range(SHOWN + 2)]
    lines = render(many).splitlines()
    assert len(lines) == SHOWN + 2 and "and 2 more" in lines[-2]


def test_what_is_no_image_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the file and both forms."""
    assert main(["image", "compare", str(tmp_path / "x"), str(tmp_path / "x")]) == 1
    assert "error[compare-no-image]" in capsys.readouterr().err


@pytest.mark.parametrize("is_real", [False, True])
def test_the_real_base_is_the_published_one(
    is_real: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--real-base ignores a base of the user's own; the proof names base, tool and digests."""
    monkeypatch.setenv("TRAINBOX_BASE_IMAGE", "stand-in:1")

    def build_twice(variant: Variant, *, say: object) -> repro.Proof:
        return repro.Proof(
            base=variant.base_image, tool="buildah 0", digests=("sha256:a", "sha256:b"),
            differences=(Difference(layer=2, path="opt/a", what="mtime"),),
        )  # fmt: skip

    monkeypatch.setattr(repro, "build_twice", build_twice)
    assert main(["image", "repro", "cpu", *(["--real-base"] if is_real else [])]) == 1
    said = capsys.readouterr().out
    assert (CUDA_13_0 if is_real else "stand-in:1") in said
    assert "buildah 0" in said and "sha256:b" in said and "layer 2       opt/a: mtime" in said
