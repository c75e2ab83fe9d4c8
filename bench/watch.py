"""A command watched from outside: cost of its whole process tree at each optimiser step."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
POLL_SECONDS = 0.02
CARD_SECONDS = 0.5  # between two looks at the card


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What a command cost until each of its steps was seen."""

    cpu_seconds: Mapping[int, float]  # step → user and system, of the tree
    wall_seconds: Mapping[int, float]  # step → since the start
    card_peak_bytes: int | None  # of the whole card, other programs included
    card_utilisation: float | None  # median between the first step and the last, 0 to 1

    @property
    def first(self) -> int:
        return min(self.cpu_seconds)

    @property
    def last(self) -> int:
        return max(self.cpu_seconds)


def watch(
    command: list[str], environment: Mapping[str, str], num_steps: Callable[[], int], log: Path
) -> Watched:
    """Run a command to its end.

    Args:
        num_steps: how many optimiser steps it has done, asked every 20 ms.
        log: file for everything it prints.

    Raises:
        SystemExit: it failed; with the end of its log.
    """
    card, cpu, wall = Card(), dict[int, float](), dict[int, float]()
    started = time.monotonic()
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=ROOT, env=dict(environment), stdout=output, stderr=output
        ) as child,
    ):
        while child.poll() is None:
            seconds, done = tree_cpu_seconds(child.pid), num_steps()
            if done and done not in cpu:
                cpu[done], wall[done] = seconds, time.monotonic() - started
            card.look(is_training=bool(cpu))
            time.sleep(POLL_SECONDS)
    if child.returncode or not cpu:
        tail = log.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}\n{tail}")
    return Watched(
        cpu_seconds=cpu,
        wall_seconds=wall,
        card_peak_bytes=card.peak_bytes,
        card_utilisation=statistics.median(card.utilisations) if card.utilisations else None,
    )


def tree_cpu_seconds(process_id: int) -> float:
    """Return user + system seconds of a process, its children and those it has waited for."""
    total = 0.0
    try:
        root = psutil.Process(process_id)
        for process in [root, *root.children(recursive=True)]:
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    except psutil.NoSuchProcess:
        pass
    return total


class Card:
    """The first card as the driver sees it; nothing is known where there is none."""

    def __init__(self) -> None:
        self.peak_bytes: int | None = None
        self.utilisations: list[float] = []
        self._next = 0.0
        self._handle = None
        import pynvml

        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        except pynvml.NVMLError:
            pass

    def look(self, *, is_training: bool) -> None:
        """Note memory and utilisation, twice a second."""
        if self._handle is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + CARD_SECONDS
        used = int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used)
        self.peak_bytes = max(self.peak_bytes or 0, used)
        if is_training:
            share = self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu / 100
            self.utilisations.append(share)
