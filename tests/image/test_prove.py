"""The proof at the end of a build: what does not fit is said, what fits passes."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

FACTS = {
    "torch": "2.13.0",
    "cuda": "13.0",
    "architectures": ["7.5", "8.0"],
    "compiler": "/usr/bin/cc",
}
PROMISE = {"torch": "2.13.0", "cuda": "13.0", "architectures": ["7.5", "8.0"]}


@pytest.fixture
def prove(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program, imported as a module from its own folder."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "image"))
    import prove

    return prove


def test_packages_beside_or_against_the_lock_are_named(prove: Any) -> None:
    """A package that the lock has in another version, or not at all, is a fault."""
    pins = prove.pins_of("torch===2.13.0+cpu \\\n  --hash=x\nruamel_yaml==1.0 ; python_version\n")
    assert prove.compare(pins, {"torch": "2.13.0+cpu", "ruamel-yaml": "1.0", "pip": "24"}) == []
    faults = prove.compare(pins, {"torch": "2.13.0", "leftpad": "1"})
    assert [fault.split()[0] for fault in faults] == ["leftpad", "torch"]


def test_a_kept_promise_is_silent(prove: Any) -> None:
    """Facts beyond the promise do no harm."""
    assert prove.broken(PROMISE, FACTS) == []
    assert prove.broken({"cuda": None}, {"torch": "2.13.0+cpu", "cuda": None}) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cuda": "12.8"}, "cuda is 12.8, promised is 13.0"),
        ({"architectures": ["8.0"]}, "architectures is ['8.0'], promised is ['7.5', '8.0']"),
        ({"compiler": None}, "no C compiler"),
    ],
)
def test_a_broken_promise_is_named(prove: Any, change: dict[str, Any], said: str) -> None:
    """Each fact that differs has a line of its own."""
    (line,) = prove.broken(PROMISE, FACTS | change)
    assert said in line


def test_this_environment_is_measured(prove: Any) -> None:
    """The measuring itself runs on the torch and bitsandbytes that are installed here."""
    facts = prove.measure()
    assert facts["torch"] == importlib.metadata.version("torch").removesuffix("+cu130")
    if facts["cuda"] is None:
        assert set(facts) == {"torch", "cuda"}
    else:
        assert facts["bitsandbytes_architectures"] and facts["architectures"]


@pytest.mark.parametrize(("exit_code", "is_found"), [(0, True), (1, False), (None, False)])
def test_a_compiler_counts_where_it_builds_a_module_of_python(
    exit_code: int | None, is_found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Python's headers, or without libc's, a compiler is there and is of no use."""
    from prove import working_compiler

    monkeypatch.setenv("PATH", str(tmp_path))
    compiler = tmp_path / "cc"
    if exit_code is not None:
        compiler.write_text(f"#!/bin/sh\nexit {exit_code}\n")
        compiler.chmod(0o755)
    assert working_compiler() == (str(compiler) if is_found else None)
