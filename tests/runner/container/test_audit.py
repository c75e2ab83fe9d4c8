"""The audit of an image, on an installation in a folder."""

from __future__ import annotations

import json
import py_compile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from runner.container.audit import audit
from tests.integration.small_clone import write_wheel

PROVE = """
import json, sys
from pathlib import Path
Path(__file__).with_name("facts.json").write_text(json.dumps({"promise": json.loads(sys.argv[2])}))
sys.exit(Path(sys.argv[1]).read_text().strip())
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Two packages as pip unpacks them, one of them ours."""
    folder = tmp_path / "site-packages"
    for name, text in (("peft", "a = 1\n"), ("runner", "b = 2\n")):
        write_wheel(tmp_path, name, "1", "py3", {f"{name}/__init__.py": text})
        with zipfile.ZipFile(tmp_path / f"{name}-1-py3-none-any.whl") as wheel:
            wheel.extractall(folder)
    py_compile.compile(str(folder / "runner/__init__.py"))
    return folder


@pytest.fixture
def of_image(tmp_path: Path) -> Path:
    """Lock and proof as they lie in an image."""
    folder = tmp_path / "trainbox"
    folder.mkdir()
    (folder / "lock").write_text("")
    (folder / "prove.py").write_text(PROVE)
    return folder


def seen(packages: Path, of_image: Path) -> dict[str, Any]:
    return audit('{"cuda": null}', str(of_image), str(packages))


def test_a_whole_installation_shows_nothing(packages: Path, of_image: Path) -> None:
    """Files as recorded, byte code as compiled, and the proof with the promise that it got."""
    found = seen(packages, of_image)
    assert (found["changed"], found["added"], found["byte_code"]) == ([], [], [])
    assert found["num_files"] == 6
    assert json.loads(found["proof"]["facts"]) == {"promise": {"cuda": None}}
    assert {"runner/__init__.py", "image/prove.py"} <= set(found["ours"])
    assert not (of_image / "facts.json").exists(), "an image is read-only"


def test_a_changed_and_a_missing_file_are_named(packages: Path, of_image: Path) -> None:
    """By their hash, not by their time or size."""
    (packages / "peft/__init__.py").write_text("a = 2\n")
    (packages / "runner-1.dist-info/WHEEL").unlink()
    changed = seen(packages, of_image)["changed"]
    assert changed == ["peft/__init__.py", "runner-1.dist-info/WHEEL (gone)"]


def test_a_file_of_no_package_is_named(packages: Path, of_image: Path) -> None:
    """What Python runs at its start can be put beside packages; their byte code is theirs."""
    (packages / "sitecustomize.py").write_text("")
    py_compile.compile(str(packages / "peft/__init__.py"))
    assert seen(packages, of_image)["added"] == ["sitecustomize.py"]


def test_byte_code_of_something_else_is_named(packages: Path, of_image: Path) -> None:
    """Python takes it unasked, and the text beside it would look right."""
    other = packages.parent / "other.py"
    other.write_text("b = 3\n")
    (kept,) = (packages / "runner/__pycache__").glob("*.pyc")
    py_compile.compile(str(other), cfile=str(kept))
    assert seen(packages, of_image)["byte_code"] == ["runner/__init__.py"]


def test_a_proof_that_fails_is_quoted(packages: Path, of_image: Path) -> None:
    """Its exit code and what it says on standard error."""
    (of_image / "lock").write_text("torch 1 is installed, the lock says 2")
    proof = seen(packages, of_image)["proof"]
    assert proof["exit_code"] == 1 and "the lock says 2" in proof["said"]
