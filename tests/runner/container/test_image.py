"""Which image a variant is, and what enters its build."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runner.container.image import (
    SOURCES,
    VARIANTS,
    choose_variant,
    image_labels,
    image_tag,
    locked_versions,
)
from runner.errors import BackendError

ROOT = Path(__file__).parents[3]
CPU = VARIANTS["cpu"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what an image is made from."""
    root = tmp_path / "clone"
    for name in (*SOURCES, "locks"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        root.mkdir(exist_ok=True)
        copy(ROOT / name, root / name)
    return root


@pytest.mark.parametrize(
    "changed", ["Dockerfile", "locks/cpu.lock", "runner/plan.py", "image/entrypoint"]
)
def test_tag_changes_with_what_is_in_the_image(clone: Path, changed: str) -> None:
    """Another line in the Dockerfile, the lock or our code is another image."""
    before = image_tag(CPU, clone)
    assert before.startswith("trainbox:cpu-") and before == image_tag(CPU, clone)
    with (clone / changed).open("a") as file:
        file.write("\n")
    assert image_tag(CPU, clone) != before


def test_tag_keeps_where_nothing_of_the_image_changes(clone: Path) -> None:
    """Byte code, a job or another variant's lock do not make a new image."""
    before = image_tag(CPU, clone)
    (clone / "runner/__pycache__").mkdir(exist_ok=True)
    (clone / "runner/__pycache__/plan.cpython-311.pyc").write_bytes(b"x")
    (clone / "locks/cu130.lock").write_text("")
    (clone / "jobs").mkdir()
    (clone / "jobs/new.yaml").write_text("version: 1\n")
    assert image_tag(CPU, clone) == before


def test_the_servers_image_does_not_follow_our_code(clone: Path) -> None:
    """A stage without our code keeps its tag when the code changes, and changes with its lock."""
    before = image_tag(VARIANTS["mlflow"], clone)
    (clone / "runner/plan.py").write_text("")
    assert image_tag(VARIANTS["mlflow"], clone) == before
    (clone / "locks/mlflow.lock").write_text("")
    changed = image_tag(VARIANTS["mlflow"], clone)
    (clone / "image/settle.py").write_text("")
    assert len({before, changed, image_tag(VARIANTS["mlflow"], clone)}) == 3


def test_a_base_of_the_users_own_is_another_image(clone: Path) -> None:
    """TRAINBOX_BASE_IMAGE and TRAINBOX_BASE_PYTHON replace base and Python, and change the tag."""
    environ = {"TRAINBOX_BASE_IMAGE": "mirror.example/debian:12", "TRAINBOX_BASE_PYTHON": "3.11"}
    variant = choose_variant("cpu", environ)
    assert (variant.base_image, variant.python) == ("mirror.example/debian:12", "3.11")
    assert image_tag(variant, clone) != image_tag(choose_variant("cpu", {}), clone)


def test_an_installed_package_builds_no_image(tmp_path: Path) -> None:
    """Without the clone there is nothing to build from, and the error says so."""
    with pytest.raises(BackendError, match="image-no-source"):
        image_tag(CPU, tmp_path)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_bases_are_named_by_digest(variant: object) -> None:
    """The base of a variant is one image for ever, never a tag that moves."""
    assert "@sha256:" in variant.base_image  # type: ignore[attr-defined]


def test_labels_name_the_lock_and_its_versions_follow() -> None:
    """What an image says of itself is enough for the record of a run."""
    labels = image_labels(CPU)
    assert labels["trainbox.lock"] == "cpu" and len(labels["trainbox.lock.sha256"]) == 64
    versions = locked_versions((ROOT / "locks/cpu.lock").read_text())
    assert versions["torch"].endswith("+cpu") and "transformers" in versions


def test_nothing_enters_a_build_but_what_the_tag_counts() -> None:
    """.dockerignore forbids all and allows the sources, the locks and the wheels (by hash)."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert allowed == {*SOURCES, "locks/*.lock", "wheelhouse"} - {"Dockerfile", ".dockerignore"}
