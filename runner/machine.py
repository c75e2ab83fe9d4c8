"""The facts about this machine that a plan depends on: processors, memory, cards."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

NVIDIA_SMI_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One NVIDIA card as nvidia-smi reports it."""

    index: int
    uuid: str
    name: str
    memory_bytes: int
    compute_capability: tuple[int, int] | None
    driver: str


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a plan may count on."""

    num_cpus: int  # processors this process may run on
    memory_bytes: int | None
    gpus: tuple[Gpu, ...]


def read_machine() -> Machine:
    """Read the facts; a card that cannot be asked within 5 s counts as absent."""
    return Machine(num_cpus=_usable_cpus(), memory_bytes=_memory_bytes(), gpus=_gpus())


def _usable_cpus() -> int:
    cpus = len(os.sched_getaffinity(0))
    try:  # a container's quota, cgroup v2: "max 100000" or "150000 100000"
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        if quota != "max":
            cpus = min(cpus, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return cpus


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _gpus() -> tuple[Gpu, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = "index,uuid,name,memory.total,compute_cap,driver_version"
    try:
        answer = subprocess.run(
            [program, f"--query-gpu={query}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=NVIDIA_SMI_SECONDS,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(gpu for line in answer.splitlines() if (gpu := parse_gpu(line)))


def parse_gpu(line: str) -> Gpu | None:
    """Parse one line of `nvidia-smi --query-gpu=…`; None where it is not one."""
    fields = [field.strip() for field in line.split(",")]
    if len(fields) != 6 or not fields[0].isdigit():
        return None
    index, uuid, name, memory_mib, capability, driver = fields
    major, _, minor = capability.partition(".")
    is_number = major.isdigit() and minor.isdigit()
    return Gpu(
        index=int(index),
        uuid=uuid,
        name=name,
        memory_bytes=int(memory_mib) * 2**20 if memory_mib.isdigit() else 0,
        compute_capability=(int(major), int(minor)) if is_number else None,
        driver=driver,
    )
