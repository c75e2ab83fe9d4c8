"""The search for a Python that can carry the environment."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from bootstrap import interpreter


def fake_python(folder: Path, name: str, version: str) -> str:
    """Write a stand-in that answers the version question; an empty version is a broken shim."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho {version}\n" if version else "#!/bin/sh\nexit 127\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("name", ["__init__", "__main__", "interpreter"])
def test_first_files_parse_on_python_3_6(name: str) -> None:
    """What an old Python reads before the version check uses nothing newer than 3.6."""
    source = Path(interpreter.__file__).with_name(f"{name}.py").read_text()
    ast.parse(source, feature_version=(3, 6))
    assert "from __future__ import annotations" not in source


def test_shim_that_fails_is_passed_over(tmp_path: Path) -> None:
    """A version manager's shim that exists and does not run is not taken for a Python."""
    shim = fake_python(tmp_path, "python3.12", "")
    good = fake_python(tmp_path, "python3.11", "3 11")
    assert interpreter.find((shim, good), "") == (good, [f"{shim} does not run"])


def test_absent_program_is_passed_over(tmp_path: Path) -> None:
    """A command that is not there is reported, not raised."""
    command, refused = interpreter.find((str(tmp_path / "python3"),), "")
    assert command is None and refused == [f"{tmp_path / 'python3'} does not run"]


@pytest.mark.parametrize(("version", "lock"), [("3 9", "cli"), ("3 10", ""), ("3 13", "cpu")])
def test_other_versions_are_refused(tmp_path: Path, version: str, lock: str) -> None:
    """A Python that the lock has no wheels for is refused with its version."""
    old = fake_python(tmp_path, "python3", version)
    command, refused = interpreter.find((old,), lock)
    assert command is None and refused == [f"{old} is {version.replace(' ', '.')}"]


def test_thin_lock_takes_python_3_10(tmp_path: Path) -> None:
    """A Docker host with Ubuntu 22.04's Python can carry the command line."""
    python = fake_python(tmp_path, "python3", "3 10")
    assert interpreter.find((python,), "cli")[0] == python


def test_running_python_is_measured_right() -> None:
    """The version is asked of the program itself."""
    assert interpreter.version_of(sys.executable) == sys.version_info[:2]


def test_explanation_names_what_was_found_and_one_command() -> None:
    """A machine with an old Python gets what is needed, what is there and the fix."""
    text = interpreter.explain(["python3 is 3.9"], "")
    assert text.startswith("error[setup-no-python]: Python 3.11 or 3.12 is needed: python3 is 3.9")
    assert "apt-get install python3.11 python3.11-venv" in text


@pytest.mark.parametrize(
    ("arguments", "has_docker", "expected"),
    [(["setup"], True, True), (["setup"], False, False), (["setup", "--dev"], True, False)],
)
def test_other_pythons_serve_where_containers_train(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    has_docker: bool,
    expected: bool,
) -> None:
    """The thin environment takes Python 3.13 as well, but no test can train in it."""
    if has_docker:
        fake_python(tmp_path, "docker", "20")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert interpreter.trains_elsewhere(arguments) is expected
