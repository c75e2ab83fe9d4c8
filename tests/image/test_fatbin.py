"""The machine code of a library is read as env_check's tables have it."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from env_check import support

bitsandbytes = importlib.metadata.distribution("bitsandbytes")
LIBRARIES = sorted(
    Path(str(file.locate()))
    for file in bitsandbytes.files or []
    if file.name.startswith("libbitsandbytes_cuda")
)


@pytest.fixture(autouse=True)
def image_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "image"))


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda path: path.stem)
def test_table_says_what_the_library_holds(library: Path) -> None:
    """SASS and PTX of every CUDA library of the locked bitsandbytes equal the table's row."""
    from fatbin import architectures_in

    row = support.bnb_library(bitsandbytes.version, f"cu{library.stem[-3:]}")
    assert row is not None and row.is_exact
    machine_code, ptx = architectures_in(library)
    assert tuple(f"{sm // 10}.{sm % 10}" for sm in machine_code) == row.architectures
    assert [f"{sm // 10}.{sm % 10}" for sm in ptx[-1:]] == ([row.ptx] if row.ptx else [])


def test_there_are_libraries_to_read() -> None:
    """The package ships one library for each CUDA version; an empty list would test nothing."""
    assert {path.stem[-3:] for path in LIBRARIES} >= {"126", "128", "130"}


def test_library_without_gpu_code_has_none_and_other_files_are_refused(tmp_path: Path) -> None:
    """A plain ELF file is no error, a text file is."""
    from fatbin import architectures_in

    assert architectures_in(Path(sys.executable).resolve()) == ([], [])
    (tmp_path / "x.so").write_text("not a library")
    with pytest.raises(ValueError, match="ELF"):
        architectures_in(tmp_path / "x.so")
