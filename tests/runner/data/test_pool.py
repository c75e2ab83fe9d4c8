"""Large files are prepared by several processes; the result is that of one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from runner.data import pool, prepare
from runner.data.pool import make_batches
from runner.data.row import Row
from runner.errors import DataError
from runner.spec import Data, DataSource
from tests.runner.data.chats import chat
from tests.runner.data.conftest import Workshop


def rows() -> list[dict[str, Any]]:
    """Return rows enough for several batches: good, broken, repeated, with notes."""
    good = [{"messages": chat(f"u:What is {i}?", f"a:It is {i * i}.")} for i in range(2500)]
    return [*good, {"messages": []}, *good[:3], {"messages": chat("u:a@b.ch", "a:b", "u:c")}]


def test_workers_change_nothing(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archive and report are the same, byte for byte, speed aside."""
    monkeypatch.setattr(prepare, "code_sha256", lambda: "alone")
    alone = workshop.prepare(rows(), on_bad_row="drop")
    monkeypatch.setattr(prepare, "code_sha256", lambda: "workers")
    monkeypatch.setattr(pool, "SERIAL_BATCHES", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    shared = workshop.prepare(rows(), on_bad_row="drop")
    speed = {"seconds": 0, "rows_per_second": 0}
    assert not shared.report.from_cache
    assert shared.train.sha256 == alone.train.sha256
    assert shared.report.to_dict() | speed == alone.report.to_dict() | speed


def test_small_file_starts_no_worker(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of start-up for each worker is paid only where it comes back."""
    monkeypatch.setattr(pool, "ProcessPoolExecutor", None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert workshop.prepare(rows(), on_bad_row="drop").train.num_samples == 2504


def test_killed_worker_is_an_error_with_a_fix(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's out-of-memory killer takes a worker: said, without a traceback."""
    monkeypatch.setattr(pool, "SERIAL_BATCHES", 0)
    recipe = pool.Recipe(
        source=DataSource(path="t.jsonl"),
        data=Data.model_validate({"train": [{"path": "t.jsonl"}], "max_length": 64}),
        tokenizer_folder=workshop.tokenizer.folder,
        template=workshop.tokenizer.chat_template(),
        own_template=None,
    )

    def batches() -> Iterator[list[Row]]:
        yield [Row(1, Killer())]  # type: ignore[arg-type]  # kills the worker that unpacks it

    with pytest.raises(DataError) as caught:
        list(make_batches(recipe, workshop.tokenizer, batches(), num_workers=2))
    assert caught.value.id == "data-worker-died"


class Killer:
    """Kills the process that receives it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _kill, ()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
