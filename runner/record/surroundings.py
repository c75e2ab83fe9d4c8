"""Reads what a run runs in: code, lock, package versions, environment variables, machine.

What cannot be read becomes `{"unknown": reason}`, never a guess and never an error: a manifest with
a gap is better than no run. Nothing here imports a framework; the versions come from metadata.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import runner
from runner.machine import Machine, read_machine

COMMAND_SECONDS = 5.0
SOURCE_ROOT = Path(runner.__file__).parent.parent
STAMP = "trainbox.json"  # in the virtual environment, written by `make setup` (bootstrap)
PACKAGES = (
    "torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets", "tokenizers",
    "safetensors", "numpy", "gguf", "mlflow", "mlflow-skinny",
)  # fmt: skip
# Variables that can change the trained bits or the speed; values of no other are recorded.
VARIABLES = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING",
    "CUDA_MODULE_LOADING", "CUDA_VISIBLE_DEVICES", "FLASH_ATTENTION_DETERMINISTIC",
    "HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE", "KMP_AFFINITY", "MKL_CBWR", "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS", "ONEDNN_MAX_CPU_ISA", "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "TOKENIZERS_PARALLELISM",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TRAINBOX_ATTEMPT",
)  # fmt: skip
# Instruction sets that choose other kernels, and so other bits.
CPU_FLAGS = (
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "avx_vnni", "amx_tile", "amx_bf16", "amx_int8", "asimd", "asimdhp", "asimddp",
    "sve", "sve2", "bf16", "i8mm",
)  # fmt: skip

Facts = dict[str, Any]


def unknown(reason: str) -> Facts:
    """Return the mark of a fact that could not be read."""
    return {"unknown": reason}


def gather_surroundings() -> Facts:
    """Read all of it, in well under a second; the sections stand in the manifest as they are."""
    machine = read_machine()
    return {
        "code": gather_code(),
        "lock": gather_lock(),
        "image": None,  # on the host; a container backend puts id and digest here
        "versions": gather_versions(),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "machine": gather_machine_facts(machine),
    }


def gather_code(source_root: Path = SOURCE_ROOT) -> Facts:
    """Return commit and dirty state of our own code, or the version of the installed package."""
    version = runner.__version__
    if not (source_root / ".git").exists():
        return {"version": version, "commit": None, "is_dirty": None, "installed": True}
    git = ["git", "-C", str(source_root), "--no-optional-locks"]
    commit = _output([*git, "rev-parse", "HEAD"])
    changes = _output([*git, "status", "--porcelain"])
    if commit is None or changes is None:
        reason = "git did not answer (not installed, or it distrusts the folder's owner)"
        return {"version": version, **unknown(reason)}
    difference = _output([*git, "diff", "HEAD", "--binary"]) if changes else ""
    return {
        "version": version,
        "commit": commit.strip(),
        "is_dirty": bool(changes),
        "num_changed_files": len(changes.splitlines()),
        "diff_sha256": _sha256(difference.encode()) if difference else None,
    }


def gather_lock(prefix: Path | None = None, source_root: Path = SOURCE_ROOT) -> Facts:
    """Return the lock that this environment was made from: the stamp of set-up, or what fits."""
    try:
        raw = json.loads(((prefix or Path(sys.prefix)) / STAMP).read_text(encoding="utf-8"))
        name = raw["lock"]
        return {"name": name, "sha256": raw["digests"][name], "found_by": "stamp"}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    for lock in sorted((source_root / "locks").glob("*.lock")):
        pins = dict(re.findall(r"^([A-Za-z0-9._-]+)={2,3}([^\s;\\]+)", lock.read_text(), re.M))
        marks = {name: pins[name] for name in PACKAGES if name in pins}
        if marks.get("torch") and all(_version(name) == pin for name, pin in marks.items()):
            digest = _sha256(lock.read_bytes())
            return {"name": lock.stem, "sha256": digest, "found_by": "installed versions"}
    return unknown("no stamp of `make setup`, and the installed versions are those of no lock")


def gather_versions() -> Facts:
    """Return the versions of Python and of the packages that decide what is trained."""
    found = {name: _version(name) for name in PACKAGES}
    return {
        "python": platform.python_version(),
        "trainbox": runner.__version__,
        **{name: version for name, version in found.items() if version is not None},
    }


def gather_machine_facts(machine: Machine | None = None) -> Facts:
    """Return processor, memory, system and cards of this machine, without its name."""
    machine = machine or read_machine()
    release = platform.release()
    return {
        "system": _distribution(),
        "kernel": release,
        "is_wsl2": "microsoft" in release.lower(),
        "architecture": platform.machine(),
        "libc": " ".join(platform.libc_ver()).strip() or unknown("not glibc"),
        "cpu": _cpu(),
        "num_cpus": machine.num_cpus,
        "memory_bytes": machine.memory_bytes,
        "gpus": [asdict(gpu) for gpu in machine.gpus] if machine.gpus else _no_gpu(),
        "cuda_of_driver": _cuda_of_driver() if machine.gpus else None,
    }


def _no_gpu() -> Facts | list[Facts]:
    if shutil.which("nvidia-smi") is None:
        return []
    return unknown("nvidia-smi is there and names no card, or did not answer within 5 s")


def _cuda_of_driver() -> str | Facts:
    header = _output(["nvidia-smi"]) or ""
    found = re.search(r"CUDA Version:\s*([\d.]+)", header)
    return found[1] if found else unknown("nvidia-smi names no CUDA version")


def _cpu() -> Facts:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return unknown("no /proc/cpuinfo")
    return parse_cpuinfo(text)


def parse_cpuinfo(text: str) -> Facts:
    """Return model and instruction sets from /proc/cpuinfo (x86 and Arm call them differently)."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    flags = set((fields.get("flags") or fields.get("features") or "").split())
    part = fields.get("cpu part")
    model = fields.get("model name") or (f"Arm part {part}" if part else None)
    return {
        "model": model or unknown("/proc/cpuinfo names no model"),
        "flags": [flag for flag in CPU_FLAGS if flag in flags],
    }


def _distribution() -> str | Facts:
    try:
        # Python 3.10 and newer; reads /etc/os-release
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return unknown("no /etc/os-release")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _output(command: Sequence[str]) -> str | None:
    """Return what a command prints, or None where it fails or takes longer than 5 s."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", errors="replace")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
