"""End an installation: python settle.py SITE_PACKAGES… (a folder of packages, or packages in it)

Leaves out what no program of the image reads, and compiles the rest so that two builds give the
same bytes. What is left out is taken from the packages' RECORD, too: that says what is there.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BATCH = 500  # files a process: what a process has compiled before shows in the bytes
# Unchecked: nobody edits a package inside an image. The start reads no source and no time stamp.
COMPILE = ("-m", "compileall", "-f", "-q", "--invalidation-mode", "unchecked-hash")
TORCH_CUDA = re.compile(r"(?m)^cuda\b[^=]*= *['\"](\d+)\.(\d+)")


def main(folders: Sequence[Path]) -> int:
    """Settle the folders; return the exit code."""
    for folder in folders:
        for path in left_out(folder):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for record in folder.glob("*.dist-info/RECORD"):
            forget_absent(record, folder)
    sources = sorted(str(path) for folder in folders for path in folder.rglob("*.py"))
    compile_all(sources)
    return 0


def left_out(packages: Path) -> Iterator[Path]:
    """Yield tests of packages, static libraries, and bitsandbytes for another CUDA than torch's."""
    yield from sorted(packages.rglob("*.a"))
    for package in sorted(packages.iterdir()):
        for tests in sorted(package.rglob("tests"), reverse=True):  # the innermost first
            if tests.is_dir() and package.is_dir():
                yield tests
    version = packages / "torch/version.py"
    if version.is_file():
        cuda = TORCH_CUDA.search(version.read_text(encoding="utf-8"))
        kept = {"cpu", f"cuda{cuda[1]}{cuda[2]}" if cuda else "cpu"}
        for library in sorted(packages.glob("bitsandbytes/libbitsandbytes_*.so")):
            if library.stem.removeprefix("libbitsandbytes_") not in kept:
                yield library


def forget_absent(record: Path, packages: Path) -> None:
    """Take the files that are gone from a package's RECORD."""
    with record.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    present = [row for row in rows if os.path.lexists(packages / row[0])]
    if present != rows:
        with record.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(present)


def compile_all(sources: Sequence[str]) -> None:
    """Compile files in batches, each in a process of its own; templates that are no Python stay."""
    batches = [sources[start : start + BATCH] for start in range(0, len(sources), BATCH)]
    # What a process imports while it starts must not write over what another one has compiled.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for process in [
            pool.submit(
                subprocess.run,
                [sys.executable, *COMPILE, *batch],
                env=environment,
                stdout=subprocess.DEVNULL,
                check=False,
            )
            for batch in batches
        ]:
            process.result()


if __name__ == "__main__":
    sys.exit(main([Path(each) for each in sys.argv[1:]]))
