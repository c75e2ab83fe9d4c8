"""docs/architecture.md leads to every module there is, and to no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs/architecture.md").read_text("utf-8").partition("## Where the code is")[2]
NAMED = {
    package: set(re.findall(r"`([a-z_]+)`", text))
    for package, text in re.findall(
        r"`(runner|env_check)/`(.*?)\n\n(?=`|## )", SECTION, flags=re.DOTALL
    )
}


@pytest.mark.parametrize("package", ["runner", "env_check"])
def test_every_module_is_named(package: str) -> None:
    """A module or folder that is added gets its place; one that goes leaves none."""
    entries = (ROOT / package).iterdir()
    modules = {
        path.stem
        for path in entries
        if path.suffix == ".py" or (path.is_dir() and (path / "__init__.py").is_file())
    } - {"__init__", "__main__"}
    assert NAMED[package] == modules


def test_folders_with_python_beside_them_are_named() -> None:
    """Whoever opens the repository finds what each folder is for."""
    folders = {path.parent.name for path in ROOT.glob("*/*.py")} - {"runner", "env_check", "tests"}
    assert folders <= set(re.findall(r"`([a-z_]+)/`", SECTION))
