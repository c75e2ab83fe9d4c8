"""Fail a build whose environment is not what its lock says: python prove.py LOCK

Compares every installed package with the lock, and starts the parts that are built for a CUDA
version: torch and the library of bitsandbytes.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

PIN = re.compile(r"(?m)^(?P<name>[A-Za-z0-9._-]+)={2,3}(?P<version>[^\s;\\]+)")
OF_THE_ENVIRONMENT = {"pip"}  # `python -m venv` brings it; on Python 3.11 setuptools too


def main(lock: Path) -> int:
    """Print what does not fit; return the exit code."""
    faults = compare(pins_of(lock.read_text(encoding="utf-8")), installed())
    faults = faults or compare_torch(pins_of(lock.read_text(encoding="utf-8")))
    for fault in faults:
        print(f"prove: {fault}", file=sys.stderr)
    return 1 if faults else 0


def pins_of(lock: str) -> dict[str, set[str]]:
    """Return the versions a lock allows by package; several where markers choose among them."""
    pins: dict[str, set[str]] = {}
    for found in PIN.finditer(lock):
        pins.setdefault(plain(found["name"]), set()).add(found["version"])
    return pins


def installed() -> dict[str, str]:
    """Return the installed packages and their versions."""
    return {plain(found.metadata["Name"]): found.version for found in distributions()}


def compare(pins: dict[str, set[str]], present: dict[str, str]) -> list[str]:
    """Return a line for each installed package that the lock does not name in that version."""
    return [
        f"{name} {version} is installed, the lock says {sorted(pins.get(name, ()))}"
        for name, version in sorted(present.items())
        if name not in OF_THE_ENVIRONMENT and version not in pins.get(name, set())
    ]


def compare_torch(pins: dict[str, set[str]]) -> list[str]:
    """Return a line where torch or bitsandbytes do not start as the build they should be."""
    import bitsandbytes
    import torch

    print(
        f"prove: torch {torch.__version__}, CUDA {torch.version.cuda}, bitsandbytes"
        f" {bitsandbytes.__version__}, {' '.join(torch.cuda.get_arch_list()) or 'no GPU code'}"
    )
    wants_cuda = not any(version.endswith("+cpu") for version in pins["torch"])
    if wants_cuda != (torch.version.cuda is not None):
        return [f"torch is built for CUDA {torch.version.cuda}, the lock says {pins['torch']}"]
    return []


def plain(name: str) -> str:
    """Return a package's name as every tool compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
