"""The state of a run follows from its journal and its lock."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import pytest

from runner.errors import TrainboxError
from runner.record.find import find_run
from runner.record.journal import Journal
from runner.record.layout import RunDir
from runner.record.state import Lock, is_locked, list_runs, read_state, state_from_events
from tests.runner.plans import tiny_plan

START: dict[str, Any] = {"event": "start", "time": 10.0, "attempt": 1, "num_steps": 4}


def step(number: int, loss: float, attempt: int = 1) -> dict[str, Any]:
    return {
        "event": "step", "time": 10.0 + number, "attempt": attempt, "step": number, "loss": loss,
        "tokens": 100, "peak_memory_bytes": 5,
    }  # fmt: skip


def end(status: str) -> dict[str, Any]:
    return {"event": "end", "time": 20.0, "attempt": 1, "status": status, "exit_code": 1}


@pytest.mark.parametrize(
    ("events", "locked", "status"),
    [
        ([START], True, "running"),
        ([START, step(1, 2.0)], False, "interrupted"),
        ([START, end("stopped")], False, "stopped"),
        ([START, end("stopped"), START], True, "running"),
        ([START, end("stopped"), START], False, "interrupted"),
        ([], False, "interrupted"),
    ],
)
def test_status(events: list[dict[str, Any]], locked: bool, status: str) -> None:
    """A run is what its last line says; without one it runs as long as somebody holds it."""
    assert state_from_events("r", events, locked).status == status


def test_numbers_are_of_all_attempts() -> None:
    """Steps, tokens and losses are summed up over attempts, each step once."""
    events = [START, step(1, 3.0), step(2, 2.0), {**START, "attempt": 2}, step(3, 1.0, 2)]
    state = state_from_events("r", events, False)
    assert (state.step, state.loss, state.tokens, state.attempts) == (3, 1.0, 300, 2)


def test_peaks_are_the_largest_of_all_steps() -> None:
    """Of a card's tensors and its allocator; a CPU has no allocator to ask."""
    one, two = step(1, 3.0), {**step(2, 2.0), "peak_reserved_bytes": 9}
    state = state_from_events(
        "r", [START, {**two, "step": 3, "peak_memory_bytes": 4}, one, two], False
    )
    assert (state.peak_memory_bytes, state.peak_reserved_bytes) == (5, 9)
    assert state_from_events("r", [START, one], False).peak_reserved_bytes is None


def make_run(root: Path, name: str) -> RunDir:
    run = RunDir(root / name)
    run.path.mkdir(parents=True)
    tiny_plan().write(run.plan)
    return run


def test_runs_are_found_by_name_beginning_or_as_the_latest(tmp_path: Path) -> None:
    """A run is named as a shell completes it; what is unclear is refused."""
    for name in ("demo-1-aa", "demo-2-bb", "full-1-cc"):
        make_run(tmp_path, name)
    assert [run.run_id for run in list_runs(tmp_path)] == ["demo-1-aa", "demo-2-bb", "full-1-cc"]
    assert find_run(tmp_path, "full").run_id == "full-1-cc"
    assert find_run(tmp_path, "latest").run_id == "full-1-cc"
    assert find_run(tmp_path, "runs/demo-1-aa/").run_id == "demo-1-aa"
    for wrong in ("demo", "nothing"):
        with pytest.raises(TrainboxError):
            find_run(tmp_path, wrong)


def test_the_time_of_a_run_is_that_of_its_attempts() -> None:
    """A night between a stop and the resumption is no time of training."""
    again = {**START, "time": 50_000.0, "attempt": 2}
    events = [START, step(1, 2.0), end("stopped"), again, {**step(2, 1.0, 2), "time": 50_003.0}]
    assert state_from_events("r", events, locked=True).seconds == 13.0


def test_those_who_look_leave_no_mark_and_meet_none(tmp_path: Path) -> None:
    """Two `trainbox runs` at once see a run that has ended, not each other; no file appears."""
    run = RunDir(tmp_path)
    assert not is_locked(run) and not run.lock.exists()
    run.lock.touch(mode=0o444)
    with run.lock.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not is_locked(run)
        fcntl.flock(other, fcntl.LOCK_EX)
        assert is_locked(run)


def test_a_held_lock_makes_a_run_running(tmp_path: Path) -> None:
    """The lock, not a process id that may be reused, says whether a run is alive."""
    run = make_run(tmp_path, "demo-1-aa")
    with Journal(run.journal, attempt=1) as journal:
        journal.write("start", num_steps=4)
    lock = Lock(run)
    assert lock.acquire(0)
    assert read_state(run).status == "running"
    lock.close()
    assert read_state(run).status == "interrupted"


@pytest.mark.parametrize("line", ["not json", "[]", '{"event": "start"}', '{"no": "event"}'])
def test_a_journal_that_makes_no_sense_is_a_state(tmp_path: Path, line: str) -> None:
    """One damaged run does not hide the others, and says what is wrong with it."""
    run = make_run(tmp_path, "demo-1-aa")
    run.journal.write_text(line + "\n")
    state = read_state(run)
    assert (state.status, "journal.jsonl" in (state.reason or "")) == ("damaged", True)


def test_runs_of_others_are_left_out(tmp_path: Path) -> None:
    """A folder that is no run, or whose plan may not be read, is not listed."""
    make_run(tmp_path, "demo-1-aa")
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").write_text("")
    assert [run.run_id for run in list_runs(tmp_path)] == ["demo-1-aa"]
