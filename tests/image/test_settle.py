"""What an installation leaves in the image: no tests, no static libraries, the same bytes twice."""

from __future__ import annotations

import csv
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

SETTLE = Path(__file__).parents[2] / "image/settle.py"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of packages as pip leaves it: two packages, torch's version, bitsandbytes."""
    folder = tmp_path / "site-packages"
    files = {
        "one/__init__.py": "NAMES = {'a', 'b', 'c'}\n",
        "one/tests/test_one.py": "",
        "one/tests/inner/tests/deep.py": "",
        "one/testing.py": "",
        "one/template.py": "{{ no python }}",
        "one/lib/libone.a": "!<arch>",
        "torch/version.py": "__version__ = '2.13.0'\ncuda: Optional[str] = '13.0'\n",
        **{f"bitsandbytes/libbitsandbytes_{name}.so": "" for name in
           ("cpu", "cuda128", "cuda130", "rocm70", "xpu2026")},
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    record = folder / "one-1.0.dist-info/RECORD"
    record.parent.mkdir()
    rows = [[name, "sha256=x", "1"] for name in files if name.startswith("one/")]
    rows.append(["../../../bin/one", "", ""])
    with record.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    (folder / "../../../bin").resolve().mkdir(exist_ok=True)
    return folder


def settle(*folders: Path) -> None:
    subprocess.run([sys.executable, SETTLE, *folders], check=True)


def names(folder: Path, pattern: str = "*") -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob(pattern) if path.is_file()}


def test_tests_and_static_libraries_are_left_out_and_the_record_says_so(packages: Path) -> None:
    """What is gone is gone from RECORD, too; a package's `testing` is no test."""
    settle(packages)
    left = names(packages / "one")
    assert {"__init__.py", "testing.py", "template.py"} <= left
    assert not {each for each in left if "tests" in each or each.endswith(".a")}
    with (packages / "one-1.0.dist-info/RECORD").open() as record:
        recorded = {row[0] for row in csv.reader(record)}
    assert recorded == {"one/__init__.py", "one/testing.py", "one/template.py"}


@pytest.mark.parametrize(
    ("version", "kept"),
    [("cuda: Optional[str] = '13.0'", {"cpu", "cuda130"}), ("cuda = '12.8'", {"cpu", "cuda128"}),
     ("cuda: Optional[str] = None", {"cpu"})],
)  # fmt: skip
def test_bitsandbytes_keeps_the_library_of_torchs_cuda(
    packages: Path, version: str, kept: Iterable[str]
) -> None:
    """One library for the CUDA of torch and the processor's; none of another vendor."""
    (packages / "torch/version.py").write_text(f"__version__ = '2'\n{version}\nhip = None\n")
    settle(packages)
    libraries = names(packages / "bitsandbytes")
    assert libraries == {f"libbitsandbytes_{each}.so" for each in kept}


def test_two_installations_compile_to_the_same_bytes(packages: Path, tmp_path: Path) -> None:
    """Neither the time of a source nor what stood in `__pycache__` shows in the byte code."""
    other = tmp_path / "again/site-packages"
    shutil.copytree(packages, other, copy_function=shutil.copyfile)  # other times
    py_compile.compile(str(other / "one/testing.py"))  # what an installer has compiled
    settle(packages)
    first = {name: (packages / name).read_bytes() for name in names(packages, "*.pyc")}
    aside = tmp_path / "aside"
    packages.rename(aside)
    other.rename(packages)  # the path is part of the byte code
    settle(packages)
    assert first == {name: (packages / name).read_bytes() for name in names(packages, "*.pyc")}
    assert len(first) == 3 and all(code[4] == 1 for code in first.values())  # hashed, unchecked


def test_a_package_alone_is_compiled(packages: Path) -> None:
    """Our own code comes in a layer of its own, into the packages that are settled already."""
    settle(packages / "one")
    assert "__pycache__/testing.cpython" in str(names(packages / "one", "*.pyc"))
    assert not names(packages / "torch", "*.pyc")
