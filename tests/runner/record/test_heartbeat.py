"""Signs of life cross the wall of a container as a file's time stamp."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from runner.record import heartbeat
from runner.record.heartbeat import Heartbeat, last_beat


def test_a_beat_is_seen_and_costs_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first beat moves the stamp; those soon after it do not touch the disk."""
    monkeypatch.setattr(heartbeat, "EVERY_SECONDS", 3600.0)
    path = tmp_path / "heartbeat"
    assert last_beat(path) == 0
    heart = Heartbeat(path)
    begun = last_beat(path)
    time.sleep(0.02)
    heart.beat()
    beaten = last_beat(path)
    assert beaten > begun > 0
    heart.beat()
    assert last_beat(path) == beaten


def test_a_file_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    """A sign of life must not be what kills."""
    heart = Heartbeat(tmp_path / "heartbeat")
    (tmp_path / "heartbeat").unlink()
    heart.beat()
    assert last_beat(tmp_path / "heartbeat") == 0
