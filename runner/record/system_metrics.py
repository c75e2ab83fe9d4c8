"""Samples of processor, memory, disk and card while a run trains, kept in system.jsonl.

The names are those that MLflow's own system metrics have, so that its pages and other people's
runs fit. The file has the journal's form: it is sent like the journal, and again without doubling.
"""

from __future__ import annotations

import importlib
import json
import shutil
import time
from collections.abc import Callable
from typing import Any

from runner.record.delivery import last_event
from runner.record.journal import Journal
from runner.record.layout import RunDir

SAMPLE_EVERY_SECONDS = 10.0
MEGABYTE = 1e6


class SystemRecord:
    """Appends a sample to system.jsonl every ten seconds.

    Args:
        now: a monotonic clock in seconds.
    """

    def __init__(self, run: RunDir, now: Callable[[], float] = time.monotonic) -> None:
        import psutil  # 20 ms: only once training has begun

        self._run = run
        self._now = now
        self._due = now()
        self._psutil = psutil
        self._cards = _Cards()
        last = last_event(run.journal)
        newest = last_event(run.system)
        self._next_sample = newest["sample"] + 1 if newest else 0
        self._file = Journal(run.system, attempt=last["attempt"] if last else 1)
        psutil.cpu_percent()  # the first call only starts the measurement

    def sample_if_due(self) -> None:
        """Append a sample where ten seconds have passed since the last."""
        if self._now() < self._due:
            return
        self._due = self._now() + SAMPLE_EVERY_SECONDS
        self._file.write("system", sample=self._next_sample, **self._sample())
        self._next_sample += 1

    def close(self) -> None:
        self._file.close()

    def _sample(self) -> dict[str, float]:
        memory = self._psutil.virtual_memory()
        values = {
            "cpu_utilization_percentage": self._psutil.cpu_percent(),
            "system_memory_usage_megabytes": (memory.total - memory.available) / MEGABYTE,
            "system_memory_usage_percentage": memory.percent,
            "disk_available_megabytes": shutil.disk_usage(self._run.path).free / MEGABYTE,
            **self._cards.sample(),
        }
        if (resident := self._training_memory()) is not None:
            values["training_memory_usage_megabytes"] = resident / MEGABYTE
        return values

    def _training_memory(self) -> int | None:
        """Return the resident bytes of the training process and its children, if it is here."""
        try:
            pid = json.loads(self._run.supervisor.read_text(encoding="utf-8"))["training_pid"]
            process = self._psutil.Process(pid)
            tree = [process, *process.children(recursive=True)]
            return sum(member.memory_info().rss for member in tree)
        except (OSError, ValueError, KeyError, TypeError, self._psutil.Error):
            return None


class _Cards:
    """NVIDIA cards, asked through NVML where there is a driver."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []
        try:
            pynvml = importlib.import_module("pynvml")  # of nvidia-ml-py, without types

            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
            self._nvml = pynvml
        except Exception:  # no package, no driver, or a broken one: then there is nothing to sample
            self._handles = []

    def sample(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for index, handle in enumerate(self._handles):
            for name, read in (
                (
                    "utilization_percentage",
                    lambda h: self._nvml.nvmlDeviceGetUtilizationRates(h).gpu,
                ),
                ("memory_usage_megabytes", lambda h: self._memory(h).used / MEGABYTE),
                ("memory_usage_percentage", self._memory_percentage),
                ("power_usage_watts", lambda h: self._nvml.nvmlDeviceGetPowerUsage(h) / 1000),
                ("temperature_celsius", lambda h: self._nvml.nvmlDeviceGetTemperature(h, 0)),
            ):
                try:
                    values[f"gpu_{index}_{name}"] = read(handle)
                except self._nvml.NVMLError:
                    continue  # not every card answers every question (WSL2, MIG)
        return values

    def _memory(self, handle: Any) -> Any:
        return self._nvml.nvmlDeviceGetMemoryInfo(handle)

    def _memory_percentage(self, handle: Any) -> float:
        memory = self._memory(handle)
        return float(100 * memory.used / memory.total)
