"""Fail a build whose environment is not what its variant promises: python prove.py LOCK PROMISE

Compares every installed package with the lock, and the files of torch and bitsandbytes with the
promise (JSON, see runner/container/promise.py): CUDA version, compute capabilities, libraries.
Needs no GPU. What was measured goes into facts.json beside this file.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from fatbin import architectures_in  # beside this file

PIN = re.compile(r"(?m)^(?P<name>[A-Za-z0-9._-]+)={2,3}(?P<version>[^\s;\\]+)")
# `python -m venv` brings pip, on Python 3.11 setuptools too; our code comes after the first proof.
OF_THE_ENVIRONMENT = {"pip", "trainbox"}


def main(lock: Path, promise: dict[str, Any]) -> int:
    """Print what does not fit; return the exit code."""
    faults = compare(pins_of(lock.read_text(encoding="utf-8")), installed())
    faults = faults or needs_unmet()
    if not faults:
        facts = measure()
        print("prove:", json.dumps(facts))
        Path(__file__).with_name("facts.json").write_text(json.dumps(facts, indent=1) + "\n")
        faults = broken(promise, facts)
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


def needs_unmet() -> list[str]:
    """Return what pip finds missing or too old among the packages' own requirements."""
    command = [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode else []


def measure() -> dict[str, Any]:
    """Return the facts of the installed files, in the promise's terms; starts torch."""
    import bitsandbytes
    import torch

    facts: dict[str, Any] = {
        "torch": torch.__version__.removesuffix(
            f"+cu{(torch.version.cuda or '').replace('.', '')}"
        ),
        "cuda": torch.version.cuda,
    }
    if torch.version.cuda is None:
        return facts
    flags = torch._C._cuda_getArchFlags() or ""
    digits = torch.version.cuda.replace(".", "")
    folder = Path(bitsandbytes.__file__).parent
    libraries = {
        path.stem.removeprefix("libbitsandbytes_cuda"): path
        for path in folder.glob("libbitsandbytes_cuda*.so")
    }
    same_major = [name for name in libraries if name[:2] == digits[:2]]
    taken = min(same_major, key=lambda name: abs(int(name) - int(digits)), default="")
    machine_code, ptx = architectures_in(libraries[taken]) if taken else ([], [])
    return {
        **facts,
        "architectures": capabilities(re.findall(r"\bsm_(\d+)", flags)),
        "ptx": "".join(capabilities(re.findall(r"\bcompute_(\d+)", flags))[-1:]),
        "bitsandbytes_cuda": taken,
        "bitsandbytes_architectures": capabilities(machine_code),
        "bitsandbytes_ptx": "".join(capabilities(ptx)[-1:]),
        "compiler": working_compiler(),
        "triton": __import__("triton").__version__,
    }


def working_compiler() -> str | None:
    """Return the C compiler, or None where it does not build what triton does: Python modules."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "launcher.c"), Path(folder, "launcher.so")
        source.write_text("#include <Python.h>\n", encoding="utf-8")
        include = sysconfig.get_path("include")
        command = [compiler, "-O3", "-shared", "-fPIC", f"-I{include}", source, "-o", library]
        return compiler if subprocess.run(command, check=False).returncode == 0 else None


def capabilities(numbers: Iterable[int | str]) -> list[str]:
    """Return SM numbers such as 90 and 120 as `9.0` and `12.0`, in order."""
    return [f"{number // 10}.{number % 10}" for number in sorted({int(each) for each in numbers})]


def broken(promise: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """Return a line for each promise that the facts do not keep."""
    wrong = [
        f"{name} is {facts.get(name)}, promised is {wanted}"
        for name, wanted in promise.items()
        if facts.get(name) != wanted
    ]
    if facts["cuda"] and not facts["compiler"]:
        wrong.append("no C compiler that builds a module of Python: triton cannot build kernels")
    return wrong


def plain(name: str) -> str:
    """Return a package's name as every tool compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
