"""Samples of the machine: every ten seconds, numbered on after a restart."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

from runner.record.journal import Event, read_events
from runner.record.layout import RunDir
from runner.record.mlflow_view import attempt_tags
from runner.record.system_metrics import Cards, SystemRecord


def test_a_sample_is_taken_every_ten_seconds(tmp_path: Path) -> None:
    """Asked more often, it waits for its time."""
    clock = iter([0.0, 0.0, 0.0, 5.0, 9.9, 10.0, 10.0, 19.0, 20.5, 20.5])
    record = SystemRecord(RunDir(tmp_path), now=lambda: next(clock))
    for _asked in range(6):
        record.sample_if_due()
    record.close()
    samples = read_events(RunDir(tmp_path).system)
    assert [sample["sample"] for sample in samples] == [0, 1, 2]
    assert samples[0]["system_memory_usage_megabytes"] > 0


def test_the_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    """A second attempt's samples stand behind the first one's on the same axis."""
    for _attempt in range(2):
        record = SystemRecord(RunDir(tmp_path))
        record.sample_if_due()
        record.close()
    assert [event["sample"] for event in read_events(RunDir(tmp_path).system)] == [0, 1]


def test_the_memory_of_the_training_process_is_measured(tmp_path: Path) -> None:
    """The process that supervisor.json names, with its children."""
    run = RunDir(tmp_path)
    run.supervisor.write_text(json.dumps({"training_pid": os.getpid()}), encoding="utf-8")
    record = SystemRecord(run)
    record.sample_if_due()
    record.close()
    assert read_events(run.system)[0]["training_memory_usage_megabytes"] > 10


class NvmlError(Exception):
    """As pynvml raises it."""


class HalfSilent:
    """NVML of a card that tells its memory and nothing else."""

    NVMLError = NvmlError

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(used=2e9, total=8e9)

    def _refuse(self, *_: object) -> None:
        raise NvmlError("Not Supported")

    nvmlDeviceGetUtilizationRates = nvmlDeviceGetPowerUsage = nvmlDeviceGetTemperature = _refuse


def samples_with(tmp_path: Path, nvml: object) -> list[Event]:
    clock = iter(range(0, 100, 5))
    record = SystemRecord(RunDir(tmp_path), now=lambda: float(next(clock)), cards=Cards(nvml))
    for _asked in range(4):
        record.sample_if_due()
    record.close()
    return read_events(RunDir(tmp_path).system)


def test_what_a_card_does_not_tell_is_unknown_once(tmp_path: Path) -> None:
    """The first sample names it with the reason, for MLflow too; what is told goes on."""
    first, *later = samples_with(tmp_path, HalfSilent())
    assert first["gpu_0_memory_usage_percentage"] == 25
    names = ("utilization_percentage", "power_usage_watts", "temperature_celsius")
    assert first["unknown"] == {f"gpu_0_{name}": "Not Supported" for name in names}
    assert later and not any("unknown" in sample for sample in later)
    assert attempt_tags([first])["trainbox.unknown.gpu_0_power_usage_watts"] == "Not Supported"


def test_a_driver_that_does_not_answer_is_unknown(tmp_path: Path) -> None:
    """A card is there, and nothing can be asked: that is said, and no sample fails."""

    class Broken(HalfSilent):
        def nvmlInit(self) -> None:
            raise NvmlError("Driver/library version mismatch")

    first, *_ = samples_with(tmp_path, Broken())
    assert first["unknown"] == {"gpu": "NvmlError: Driver/library version mismatch"}
