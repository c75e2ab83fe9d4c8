"""The journal: durable lines, torn ones cut off, floats back bit for bit."""

from __future__ import annotations

import math
from pathlib import Path

from runner.record.journal import Journal, read_events, read_from


def test_what_is_written_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    """A float comes back as the same float; NaN and infinity too."""
    path = tmp_path / "journal.jsonl"
    values = [0.1 + 0.2, 1e-310, 2.0**-149, math.inf]
    with Journal(path, attempt=3) as journal:
        for value in values:
            journal.write("step", loss=value)
        journal.write("step", loss=math.nan)
    events = read_events(path)
    assert [event["loss"] for event in events[:-1]] == values
    assert math.isnan(events[-1]["loss"])
    assert {event["attempt"] for event in events} == {3}


def test_a_torn_line_is_not_seen_and_then_cut_off(tmp_path: Path) -> None:
    """A line half written by a killed process disappears; the next one stands alone."""
    path = tmp_path / "journal.jsonl"
    with Journal(path, attempt=1) as journal:
        journal.write("step", step=1)
    with path.open("ab") as file:
        file.write(b'{"event": "step", "ste')
    assert len(read_events(path)) == 1
    with Journal(path, attempt=2) as journal:
        journal.write("step", step=2)
    assert [event["step"] for event in read_events(path)] == [1, 2]


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """A follower sees every line once, and a half-written one only when it is whole."""
    path = tmp_path / "journal.jsonl"
    assert read_from(path, 0) == ([], 0)
    path.write_bytes(b'{"step": 1}\n{"st')
    events, offset = read_from(path, 0)
    assert events == [{"step": 1}]
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n')
    assert read_from(path, offset)[0] == [{"step": 2}]
