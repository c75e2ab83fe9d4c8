"""env_check starts anywhere: on a bare Python, on 3.9, in under half a second."""

from __future__ import annotations

import ast
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(ROOT.glob("env_check/**/*.py"))


def test_it_runs_without_any_installed_package() -> None:
    """`python -S -m env_check` has no site-packages at all, and still gives a verdict."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "env_check", "--json"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert json.loads(done.stdout)["exit_code"] == done.returncode


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_written_in_python_39(path: Path) -> None:
    """No syntax newer than 3.9, and annotations that are not evaluated."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 9))
    if len(tree.body) > 1:
        assert "from __future__ import annotations" in text or path.name.startswith("__")


def candidates() -> list[str]:
    by_pyenv = Path.home().glob(".pyenv/versions/3.9.*/bin/python")
    return [name for name in (shutil.which("python3.9"), *map(str, by_pyenv)) if name]


def works(python: str) -> bool:
    """Tell whether it runs: a shim of pyenv may name a version that is switched off."""
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


def test_it_runs_on_python_39() -> None:
    """The oldest Python it promises."""
    found = next((each for each in candidates() if works(each)), None)
    if found is None:
        pytest.skip("needs a Python 3.9")
    done = subprocess.run(
        [found, "-m", "env_check", "--markdown"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert "env-check" in done.stdout


def test_a_check_stays_cheap() -> None:
    """No framework is imported for it: 0.15 cpu seconds when quiet, far from an import of torch."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "env_check"], cwd=ROOT, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    assert used < 2.0


def test_a_closed_pipe_is_no_error() -> None:
    """`env-check | head -1` ends quietly."""
    done = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -m env_check | head -1"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert done.stderr == ""
