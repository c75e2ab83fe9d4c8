"""Memory, processors, shared memory and the disks that training writes to."""

from __future__ import annotations

import re
from typing import Optional

from env_check.facts import Folder, Known, Storage, Unknown
from env_check.privacy import public_path
from env_check.system import System

NO_LIMIT_BYTES = 1 << 60  # cgroup v1 writes a number near 2^63 where there is no limit


def probe(system: System) -> Storage:
    """Return sizes and limits, all from files."""
    total, available = memory(system)
    shm = system.space("/dev/shm")
    absent = Unknown("/dev/shm is not there")
    return Storage(
        memory_total_bytes=total,
        memory_available_bytes=available,
        memory_limit_bytes=memory_limit(system),
        num_cpus=len(re.findall(r"(?m)^processor\s*:", system.read("/proc/cpuinfo") or "")),
        cpu_limit=cpu_limit(system),
        shm_total_bytes=shm.total_bytes if shm else absent,
        shm_free_bytes=shm.free_bytes if shm else absent,
        max_open_files=system.limit("RLIMIT_NOFILE"),
        folders=folders(system),
    )


def memory(system: System) -> tuple[Known[int], Known[int]]:
    """Return total and available bytes of /proc/meminfo."""
    text = system.read("/proc/meminfo") or ""
    rows = dict(re.findall(r"(?m)^(\w+):\s+(\d+) kB", text))
    missing = Unknown("/proc/meminfo is not readable")
    return (
        int(rows["MemTotal"]) * 1024 if "MemTotal" in rows else missing,
        int(rows["MemAvailable"]) * 1024 if "MemAvailable" in rows else missing,
    )


def memory_limit(system: System) -> Optional[int]:
    """Return the limit of the control group in bytes, v2 before v1."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = (system.read(path) or "").strip()
        if text.isdigit() and int(text) < NO_LIMIT_BYTES:
            return int(text)
    return None


def cpu_limit(system: System) -> Optional[float]:
    """Return the processors the control group grants, None where it grants all."""
    words = (system.read("/sys/fs/cgroup/cpu.max") or "").split()
    if len(words) != 2:
        words = [
            (system.read(f"/sys/fs/cgroup/cpu/cpu.cfs_{name}_us") or "").strip()
            for name in ("quota", "period")
        ]
    if all(word.isdigit() for word in words) and int(words[1]):
        return int(words[0]) / int(words[1])
    return None


def folders(system: System) -> tuple[Folder, ...]:
    """Return the places training writes to: caches, temporary files, the current folder."""
    home = system.home()
    cache = system.variable("XDG_CACHE_HOME") or f"{home}/.cache"
    places = [
        ("cache", system.variable("TRAINBOX_CACHE") or f"{cache}/trainbox"),
        ("hub cache", system.variable("HF_HUB_CACHE") or hub_cache(system, cache)),
        ("temporary files", system.variable("TMPDIR") or "/tmp"),
        ("runs", system.variable("TRAINBOX_RUNS") or "."),
    ]
    return tuple(folder(system, purpose, path) for purpose, path in places)


def hub_cache(system: System, cache: str) -> str:
    return f"{system.variable('HF_HOME') or cache + '/huggingface'}/hub"


def folder(system: System, purpose: str, path: str) -> Folder:
    """Return what is known of a folder; one not made yet is judged by its nearest parent."""
    nearest = path
    while not system.exists(nearest) and "/" in nearest.strip("/"):
        nearest = nearest.rsplit("/", 1)[0]
    if not system.exists(nearest):
        nearest = "/"
    space = system.space(nearest)
    real = system.real_path(nearest)
    return Folder(
        purpose=purpose,
        path=public_path(path, system.home()),
        can_write=system.can_write(nearest),
        is_read_only=bool(space and space.is_read_only),
        free_bytes=space.free_bytes if space else Unknown("not readable"),
        free_inodes=space.free_inodes if space else None,
        is_windows_drive=bool(re.match(r"/mnt/[a-z](/|$)", real)),
        file_system=space.number if space else 0,
    )
