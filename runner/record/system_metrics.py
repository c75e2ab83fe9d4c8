"""Samples of processor, memory, disk and card while a run trains, kept in system.jsonl.

The names are those that MLflow's own system metrics have, so that its pages and other people's
runs fit. The file has the journal's form: it is sent like the journal, and again without doubling.
What a card does not tell stands once as `unknown`, with the reason.
"""

from __future__ import annotations

import importlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runner.record.delivery import last_event
from runner.record.journal import Journal
from runner.record.layout import RunDir

SAMPLE_EVERY_SECONDS = 10.0
MEGABYTE = 1e6
CARD_DEVICES = ("/dev/nvidiactl", "/dev/dxg")  # of the driver on Linux, and in WSL2


class SystemRecord:
    """Appends a sample to system.jsonl every ten seconds.

    Args:
        now: a monotonic clock in seconds.
        cards: asked for their numbers; None: those of this machine.
    """

    def __init__(
        self,
        run: RunDir,
        now: Callable[[], float] = time.monotonic,
        cards: Cards | None = None,
    ) -> None:
        import psutil  # 20 ms: only once training has begun

        self._run = run
        self._now = now
        self._due = now()
        self._psutil = psutil
        self._cards = cards or Cards()
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
        values = self._sample()
        unknown, self._cards.unknown = self._cards.unknown, {}
        told = {"unknown": unknown} if unknown else {}
        self._file.write("system", sample=self._next_sample, **values, **told)
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


class Cards:
    """NVIDIA cards, asked through NVML where there is a driver.

    Args:
        nvml: stands in for the module pynvml.
    """

    def __init__(self, nvml: Any = None) -> None:
        self.unknown: dict[str, str] = {}
        """What a card does not tell, and why; taken out by who writes it down."""
        self._nvml = nvml
        self._handles: list[Any] = []
        self._silent: set[str] = set()
        try:
            self._nvml = nvml or importlib.import_module("pynvml")  # of nvidia-ml-py, without types
            self._nvml.nvmlInit()
            count = self._nvml.nvmlDeviceGetCount()
            self._handles = [self._nvml.nvmlDeviceGetHandleByIndex(one) for one in range(count)]
        except Exception as error:  # no package, no driver, or a broken one
            if nvml is not None or any(Path(device).exists() for device in CARD_DEVICES):
                self.unknown["gpu"] = f"{type(error).__name__}: {error}"

    def sample(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for index, handle in enumerate(self._handles):
            for name, read in self._questions():
                key = f"gpu_{index}_{name}"
                if key in self._silent:
                    continue
                try:
                    values[key] = read(handle)
                except self._nvml.NVMLError as error:  # WSL2 and MIG leave some unanswered
                    self._silent.add(key)
                    self.unknown[key] = str(error)
        return values

    def _questions(self) -> Iterator[tuple[str, Callable[[Any], float]]]:
        nvml = self._nvml
        yield "utilization_percentage", lambda card: nvml.nvmlDeviceGetUtilizationRates(card).gpu
        yield "memory_usage_megabytes", lambda card: self._memory(card).used / MEGABYTE
        yield "memory_usage_percentage", self._memory_percentage
        yield "power_usage_watts", lambda card: nvml.nvmlDeviceGetPowerUsage(card) / 1000
        yield "temperature_celsius", lambda card: nvml.nvmlDeviceGetTemperature(card, 0)

    def _memory(self, handle: Any) -> Any:
        return self._nvml.nvmlDeviceGetMemoryInfo(handle)

    def _memory_percentage(self, handle: Any) -> float:
        memory = self._memory(handle)
        return float(100 * memory.used / memory.total)
