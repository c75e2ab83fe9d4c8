"""STO: memory, shared memory and the places training writes to."""

from __future__ import annotations

from typing import Optional

from env_check.facts import Facts, Folder, Unknown
from env_check.findings import Layer
from env_check.inference import gib
from env_check.rules.rule import Verdict, fault, rule, warning

DOCKER = "Docker documentation, docker run"
GIB = 1 << 30
LOW_BYTES, EMPTY_BYTES = 10 * GIB, GIB
FEW_INODES = 10_000
SMALL_SHM_BYTES = 256 << 20


def _scaled(folder: Folder, num_bytes: int) -> int:
    """Return a threshold for a folder: temporary files, often in memory, are small."""
    return num_bytes // 16 if folder.purpose == "temporary files" else num_bytes


def _named(folder: Folder) -> str:
    place = "the current folder" if folder.path == "." else folder.path
    return f"{folder.purpose}: {place}"


@rule("STO801", Layer.STORAGE, source=DOCKER + ", --shm-size", cause_id="shm_too_small")
def small_shm(facts: Facts) -> Optional[Verdict]:
    """A container with the engine's default of 64 MiB shared memory, or little more."""
    total = facts.storage.shm_total_bytes
    if not facts.host.container or isinstance(total, Unknown) or total > SMALL_SHM_BYTES:
        return None
    return warning(
        f"the container has {total >> 20} MiB of shared memory",
        evidence=f"/dev/shm: {total >> 20} MiB",
        why="data workers and NCCL pass tensors through it and die with a bus error",
        fix="docker run --shm-size=2g …   (trainbox does so itself: resources.shm_gib)",
        verify="`df -h /dev/shm` prints 2.0G",
    )


@rule("STO802", Layer.STORAGE, source="docs: what a run writes", cause_id="disk_full_cache")
def disk_full(facts: Facts) -> Optional[Verdict]:
    """Almost nothing free where training writes: a fault below 1 GiB, a warning below 10."""
    low = [
        (each, each.free_bytes)
        for each in facts.storage.folders
        if not isinstance(each.free_bytes, Unknown)
        and each.free_bytes < _scaled(each, LOW_BYTES)
        and not each.is_read_only
    ]
    if not low:
        return None
    is_empty = any(free < _scaled(each, EMPTY_BYTES) for each, free in low)
    least = min(free for _, free in low)
    return (fault if is_empty else warning)(
        f"only {gib(least)} free on the disk" if least >= GIB // 100 else "the disk is full",
        evidence=tuple(f"{_named(each)}: {gib(free)} free" for each, free in low),
        why="a model, its checkpoints and the image take tens of GiB",
        fix=(
            "du -xh --max-depth=2 ~/.cache | sort -h | tail   (what takes the room)",
            "docker system prune   (unused images and layers)",
            "or point HF_HOME and TRAINBOX_CACHE to a larger disk",
        ),
        verify="`df -h` shows 20 GiB free or more",
    )


@rule("STO803", Layer.STORAGE, source="statvfs(3)", cause_id="disk_full_cache")
def no_inodes(facts: Facts) -> Optional[Verdict]:
    """The file system has room and no more files."""
    few = [
        each
        for each in facts.storage.folders
        if each.free_inodes is not None and each.free_inodes < FEW_INODES
    ]
    if not few:
        return None
    return fault(
        "the file system can hold no more files",
        evidence=tuple(f"{_named(each)}: {each.free_inodes} inodes free" for each in few),
        why="`No space left on device` although df shows room",
        fix=(
            "du --inodes -x --max-depth=2 ~ | sort -n | tail   (where the many small files are)",
            "or point HF_HOME and TRAINBOX_CACHE elsewhere",
        ),
        verify="`df -i` shows free inodes",
    )


@rule("STO804", Layer.STORAGE, source="access(2), statvfs(3)")
def not_writable(facts: Facts) -> Optional[Verdict]:
    """A cache or the temporary folder cannot be written; the current folder alone: a warning."""
    closed = [
        each
        for each in facts.storage.folders
        if each.purpose != "container engine" and (each.is_read_only or not each.can_write)
    ]
    if not closed:
        return None
    variable = {
        "cache": "export TRAINBOX_CACHE=/path/with/room",
        "hub cache": "export HF_HOME=/path/with/room",
        "temporary files": "export TMPDIR=/path/with/room",
        "runs": "export TRAINBOX_RUNS=/path/with/room   (or cd to a folder you can write)",
    }
    only_here = all(each.purpose == "runs" for each in closed)
    return (warning if only_here else fault)(
        f"the {closed[0].purpose} folder cannot be written",
        evidence=tuple(
            f"{_named(each)}: {'read-only file system' if each.is_read_only else 'no permission'}"
            for each in closed
        ),
        why="models, prepared data and runs are written there",
        fix=tuple(variable[each.purpose] for each in closed),
        verify="`env-check` reports no STO804",
    )


@rule("STO805", Layer.STORAGE, source="measured: import of the training stack and a 135M model")
def little_memory(facts: Facts) -> Optional[Verdict]:
    """Less than 4 GiB of memory for a process, by the machine or its control group."""
    usable = facts.storage.usable_memory_bytes
    if isinstance(usable, Unknown) or usable >= 4 * GIB:
        return None
    limit = facts.storage.memory_limit_bytes
    return warning(
        f"there are {gib(usable)} of memory",
        evidence=f"memory: {gib(usable)}" + (" (limit of the container)" if limit else ""),
        why="the kernel kills what needs more (exit code 137); even the demo wants about 4 GiB",
        fix="docker run --memory 16g …" if limit else "use a machine with 16 GiB or more",
        verify="`free -h`, in a container `cat /sys/fs/cgroup/memory.max`",
    )


@rule("STO806", Layer.STORAGE, source="Microsoft, Working across Windows and Linux file systems")
def windows_drive(facts: Facts) -> Optional[Verdict]:
    """Under WSL a cache or the runs lie on a Windows drive."""
    slow = [each for each in facts.storage.folders if each.is_windows_drive]
    if not facts.host.wsl or not slow:
        return None
    return warning(
        "training files lie on a Windows drive",
        evidence=tuple(_named(each) for each in slow),
        why="access over the bridge is many times slower, and renames are not safe against a crash",
        fix="keep the repository and the caches in the Linux home: cp -r … ~/ && cd ~/trainbox",
        verify="`pwd` does not begin with /mnt/",
    )


@rule("STO807", Layer.STORAGE, source="getrlimit(2)")
def few_files(facts: Facts) -> Optional[Verdict]:
    """Fewer than 1024 open files allowed."""
    limit = facts.storage.max_open_files
    if limit is None or limit >= 1024:
        return None
    return warning(
        f"only {limit} files may be open at once",
        evidence=f"ulimit -n: {limit}",
        why="data workers and memory-mapped data sets end with `Too many open files`",
        fix="ulimit -n 65536   (docker run --ulimit nofile=65536 …)",
        verify="`ulimit -n` prints 1024 or more",
    )
