"""Choose the lock for this machine: none with torch where containers train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bootstrap.errors import SetupError

TRAINING_LOCKS = ("cpu", "cu130")
BASE_LOCKS = (*TRAINING_LOCKS, "cli")
DEV_LOCK = "dev"

# Kernel driver of a Linux host or container, and the driver library that WSL mounts.
GPU_MARKS = ("/dev/nvidiactl", "/proc/driver/nvidia/version", "/usr/lib/wsl/lib/libcuda.so.1")


def has_nvidia_gpu(exists: Callable[[str], bool] = lambda path: Path(path).exists()) -> bool:
    """Tell whether an NVIDIA driver is present; starts no program."""
    return any(exists(mark) for mark in GPU_MARKS)


def choose_known_lock(
    *, override: str, installed: str | None, has_gpu: bool, must_train: bool
) -> str | None:
    """Return the lock that is certain without asking an engine or the index, or None.

    Args:
        override: value of TRAINBOX_LOCK; empty where it is not set.
        installed: the base lock that the environment holds already.
        must_train: tests train in the environment itself.

    Raises:
        SetupError: `override` is not a lock.
    """
    if override:
        if override not in BASE_LOCKS:
            raise SetupError(
                id="setup-unknown-lock",
                what=f"TRAINBOX_LOCK is `{override}`, expected one of {', '.join(BASE_LOCKS)}",
                why="the environment is installed from a lock in locks/",
                fix="unset TRAINBOX_LOCK",
            )
        return override
    if installed == "cli" and not must_train:
        return "cli"
    if has_gpu and (must_train or installed in TRAINING_LOCKS):
        return "cu130"
    return installed if installed in TRAINING_LOCKS else None


def choose_lock(
    known: str | None,
    *,
    must_train: bool,
    has_gpu: bool,
    has_containers: Callable[[], bool],
    offers_cpu_build: Callable[[], bool],
) -> str:
    """Return the lock to install; asks engine and index only where nothing else decides.

    The CUDA build runs on a CPU too, at ten times the download.
    """
    if known is not None:
        return known
    if not must_train and has_containers():
        return "cli"
    if has_gpu:
        return "cu130"
    return "cpu" if offers_cpu_build() else "cu130"
