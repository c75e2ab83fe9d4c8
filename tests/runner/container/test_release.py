"""The tag of a published image: by version, variant and commit, and never for another state."""

from __future__ import annotations

from pathlib import Path

import pytest

import runner
from runner.container.image import VARIANTS
from runner.container.release import release_tag
from runner.errors import BackendError
from tests.integration.small_clone import commit, make_small_clone

CPU = VARIANTS["cpu"]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_clone(tmp_path_factory.mktemp("release") / "clone", "3.12")


@pytest.fixture
def clone(state: Path) -> Path:
    """A clone with all committed."""
    commit(state)
    return state


def test_a_committed_state_is_named_by_its_commit(clone: Path) -> None:
    """Version, variant and twelve digits; another commit is another tag, the same one the same."""
    first = release_tag(CPU, clone)
    assert first.startswith(f"{runner.__version__}-cpu-") and len(first.rpartition("-")[2]) == 12
    assert first == release_tag(CPU, clone)
    (clone / "notes.md").write_text(f"{first}\n")
    assert release_tag(CPU, clone) == first, "a note is no part of an image"
    commit(clone)
    assert release_tag(CPU, clone) != first


@pytest.mark.parametrize("name", ["runner/cli.py", "runner/new.py", "locks/cpu.lock", "LICENSE"])
def test_what_is_not_committed_is_refused_by_name(clone: Path, name: str) -> None:
    """Changed and new files that would enter the image are named; told so, the tag says it."""
    with (clone / name).open("a") as file:
        file.write("\n")
    with pytest.raises(BackendError, match="image-not-committed") as caught:
        release_tag(CPU, clone)
    assert name in caught.value.what
    dirty = release_tag(CPU, clone, allow_dirty=True)
    assert "-dirty-" in dirty


def test_a_file_that_is_gone_is_refused_too(clone: Path) -> None:
    """An image without a committed file is not the commit's."""
    (clone / "runner/wsl.py").rename(clone / "kept")
    with pytest.raises(BackendError, match=r"image-not-committed.*runner/wsl.py"):
        release_tag(CPU, clone)
    (clone / "kept").rename(clone / "runner/wsl.py")


def test_without_a_commit_there_is_no_tag(tmp_path: Path) -> None:
    """A folder that is no clone is refused, with the reason that git gives."""
    with pytest.raises(BackendError, match=r"image-no-commit.*not a git repository"):
        release_tag(CPU, tmp_path)
