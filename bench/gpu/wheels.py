"""Collect what a machine without a network lacks, small enough to be carried to it.

Usage: python -m bench.gpu.wheels FOLDER [--have FILE] [--python 3.12] [--lock locks/cu130.lock]

Downloads, by hash, the wheels of a lock that --have (what `pip list --format=freeze` says there)
does not name, or names in another version where results hang on it; torch and the CUDA packages are
the machine's own, and no MLflow is needed. Unpacks them, drops what no job on one CUDA 13 card
loads, and packs them as parts of at most 50 MiB:

    there: for part in FOLDER/part-*.tar.xz; do tar -xJf $part -C /opt/trainbox; done
           export PYTHONPATH=/opt/trainbox
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PART_BYTES = 50 * 2**20  # packed, of what goes into one part; xz halves it or better
# The machine's own, or of no use there.
NOT_CARRIED = re.compile(r"torch|nvidia-(?!ml-py).*|triton|cuda-.*|setuptools|mlflow.*|docker")
# Figures of another version of these would be those of another stack.
OF_THE_LOCK = {
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "bitsandbytes",
    "datasets",
    "tokenizers",
}
UNUSED = re.compile(
    r"libbitsandbytes_(?!cuda130).*\.so$|libarrow_(flight|substrait).*|/tests?/|/include/|\.pyx?d?i$"
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.wheels", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--have", type=Path)
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--lock", type=Path, default=ROOT / "locks/cu130.lock")
    args = parser.parse_args(arguments)
    have = versions_in(args.have.read_text(encoding="utf-8")) if args.have else {}
    wanted = requirements(args.lock.read_text(encoding="utf-8"), have)
    args.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        site = Path(temporary) / "site"
        download(wanted, Path(temporary) / "wheels", args.python)
        for wheel in sorted((Path(temporary) / "wheels").glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site)
        for file in [one for one in site.rglob("*") if one.is_file()]:
            if UNUSED.search(file.as_posix()):
                file.unlink()
        for part in pack(site, args.folder):
            print(f"{part}: {part.stat().st_size / 2**20:.1f} MiB")
    return 0


def versions_in(freeze: str) -> dict[str, str]:
    """Return name, normalised, and version of each line of a `pip list --format=freeze`."""
    parts = (line.partition("==") for line in freeze.splitlines())
    return {_normal(name): version.strip() for name, separator, version in parts if separator}


def requirements(lock: str, have: dict[str, str]) -> str:
    """Return the entries of a hash lock, hashes included, that are still to be brought.

    A package is needed that an input of the lock or another needed package asks for (`# via`).
    """
    entries = {
        _normal(re.split(r"[=\[ ;]", entry, maxsplit=1)[0]): entry
        for entry in re.split(r"\n(?=[a-zA-Z0-9])", lock)
        if "==" in entry
    }
    entries = {name: one for name, one in entries.items() if not NOT_CARRIED.fullmatch(name)}
    needed: set[str] = set()
    while more := {name for name, one in entries.items() if _is_asked_for(one, needed)} - needed:
        needed |= more
    missing = (name for name in sorted(needed) if not _is_there(name, entries[name], have))
    return "\n".join(entries[name] for name in missing) + "\n"


def _is_there(name: str, entry: str, have: dict[str, str]) -> bool:
    locked = re.split(r"[ \\;]", entry.partition("==")[2], maxsplit=1)[0]
    return name in have and (name not in OF_THE_LOCK or have[name].partition("+")[0] == locked)


def _is_asked_for(entry: str, needed: set[str]) -> bool:
    by = entry.partition("# via ")[2].splitlines()[0].split(", ")
    return any(one.startswith("-r ") or _normal(one) in needed for one in by)


def download(wanted: str, folder: Path, python: str) -> None:
    """Fetch wheels by hash through the user's own pip settings."""
    file = folder.with_suffix(".txt")
    file.write_text(wanted, encoding="utf-8")
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17)]
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
        "--only-binary=:all:", f"--python-version={python}", *platforms,
        "--platform=manylinux2014_x86_64", "--requirement", str(file), "--dest", str(folder),
    ]  # fmt: skip
    subprocess.run(command, check=True)


def pack(site: Path, folder: Path) -> list[Path]:
    """Write the packages of a folder as archives that stay under the limit."""
    sizes = {one: _num_bytes(one) for one in site.iterdir()}
    groups: list[list[Path]] = [[]]
    room = limit = 3 * PART_BYTES  # shared objects and Python pack to a third or less
    for one, size in sorted(sizes.items(), key=lambda pair: pair[1], reverse=True):
        if size > room and groups[-1]:
            groups.append([])
            room = limit
        groups[-1].append(one)
        room -= size
    parts = []
    for number, group in enumerate(groups):
        part = folder / f"part-{number}.tar.xz"
        with tarfile.open(part, "w:xz", preset=3) as archive:
            for one in group:
                archive.add(one, arcname=one.name)
        parts.append(part)
    return parts


def _num_bytes(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


if __name__ == "__main__":
    raise SystemExit(main())
