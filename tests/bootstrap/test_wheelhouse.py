"""The wheelhouse: what a lock wants for a Python, and what of it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.errors import SetupError
from bootstrap.wheelhouse import Wanted, check, download, missing, wanted_by
from tests.integration.small_clone import make_small_clone, write_wheel

ROOT = Path(__file__).parents[2]
PYTHON = "3.11"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone whose lock names three packages, two of which lie in its wheelhouse."""
    monkeypatch.setenv("TRAINBOX_BASE_PYTHON", PYTHON)
    return make_small_clone(tmp_path / "clone", PYTHON)


def wanted(clone: Path) -> Wanted:
    return wanted_by(clone, "cpu", PYTHON)


def test_a_lock_wants_one_version_of_each_package_for_a_python() -> None:
    """Markers choose: cli.lock has other versions for Python 3.10."""
    older, newer = wanted_by(ROOT, "cli", "3.10"), wanted_by(ROOT, "cli", "3.12")
    for found in (older, newer):
        names = [pin.name for pin in found.pins]
        assert len(names) == len(set(names)) and not any(pin.marker for pin in found.pins)
    assert {pin.render() for pin in older.pins} != {pin.render() for pin in newer.pins}


def test_missing_wheels_are_all_named(clone: Path) -> None:
    """By package and version, with the command that brings them."""
    assert [pin.name for pin in missing(wanted(clone), clone / "wheelhouse")] == ["setuptools"]
    for wheel in (clone / "wheelhouse").glob("*.whl"):
        wheel.unlink()
    with pytest.raises(SetupError, match="wheelhouse-incomplete") as caught:
        check(clone, "cpu", say=print)
    assert "3 of 3" in caught.value.what and "torch 0.1+cpu" in caught.value.what
    assert "make wheelhouse VARIANT=cpu" in caught.value.fix


@pytest.mark.parametrize("python", ["3.12", "3.10"])
def test_a_wheel_for_another_python_is_missing(clone: Path, python: str) -> None:
    """A hash of the lock is not enough: the wheel must install."""
    absent = missing(wanted_by(clone, "cpu", python), clone / "wheelhouse")
    assert {"torch", "bitsandbytes"} < {pin.name for pin in absent}


def test_another_file_of_the_same_name_is_missing(clone: Path) -> None:
    """The lock names a file by its bytes."""
    write_wheel(clone / "wheelhouse", "torch", "0.1+cpu", "cp311", {"torch/__init__.py": "evil"})
    names = [pin.name for pin in missing(wanted(clone), clone / "wheelhouse")]
    assert "torch" in names


def test_pip_brings_wheels_by_hash(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From wherever pip is configured to look; a file that no place offers is an error."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(clone / "wheelhouse"))
    whole = wanted(clone)
    there = Wanted(lock="cpu", python=PYTHON, pins=tuple(
        pin for pin in whole.pins if pin.name != "setuptools"
    ))  # fmt: skip
    (tmp_path / "other").mkdir()
    download(there, tmp_path / "other", say=print)
    assert missing(there, tmp_path / "other") == []
    with pytest.raises(SetupError, match=r"setup-no-package.*setuptools"):
        download(whole, tmp_path / "other", say=print)
