"""Samples of the machine: every ten seconds, numbered on after a restart."""

from __future__ import annotations

import json
import os
from pathlib import Path

from runner.record.journal import read_events
from runner.record.layout import RunDir
from runner.record.system_metrics import SystemRecord


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
