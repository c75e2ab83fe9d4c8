"""Nothing that is pasted can crash, hang or bloat explain."""

from __future__ import annotations

import io
import random
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from env_check.explain import explain_file
from tests.env_check.explain.reports import our_reports

TEXTS = [report.text for report in our_reports()]


def mangled(seed: int) -> bytes:
    """Return a few reports truncated, interleaved and peppered with noise."""
    chance = random.Random(seed)
    lines: list[str] = []
    for text in chance.sample(TEXTS, 4):
        start, end = sorted(chance.sample(range(len(text) + 1), 2)) if len(text) > 1 else (0, 1)
        lines += text[start:end].splitlines(keepends=True)
    chance.shuffle(lines)
    data = bytearray("".join(lines), "utf-8")
    for _ in range(chance.randrange(30)):
        data[chance.randrange(len(data) + 1) : 0] = chance.randbytes(chance.randrange(1, 40))
    return bytes(data)


@pytest.mark.parametrize("seed", range(60))
def test_mangled_reports_are_read_in_bounded_time(seed: int) -> None:
    """Truncation, interleaving and binary noise give an answer, quickly."""
    started = time.process_time()
    explain_file(io.BytesIO(mangled(seed)))
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\0" * 70_000,
        b"\xff" * 70_000,
        bytes(range(256)) * 300,
        b"nvrm: xid " * 20_000,
        b"cuda out of memory " * 20_000,
        b"| " * 40_000,
        b"a" * 300_000,
        ("İ" * 40_000).encode(),
        b"401 client error " * 9_000,
        b"undefined symbol: _zn" * 9_000,
        b"[" * 50_000 + b"(" * 50_000,
        (" " * 100_000).encode(),
    ],
    ids=range(14),
)
def test_hostile_bytes_are_read_in_bounded_time(data: bytes) -> None:
    """Repetition that makes an expression back-track stays linear."""
    started = time.process_time()
    explain_file(io.BytesIO(data))
    assert time.process_time() - started < 3


class Log(io.RawIOBase):
    """A training log of a given size that is made while it is read."""

    def __init__(self, num_bytes: int) -> None:
        self._lines = self._make()
        self._left = num_bytes
        self._rest = b""

    def _make(self) -> Iterator[bytes]:
        step = 0
        while True:
            step += 1
            yield (
                f"{{'loss': {1 / step:.5f}, 'grad_norm': 0.7, 'epoch': {step / 1e4:.4f}}} cuda:0\n"
                f"\r {step % 100}%|####   | {step}/1000000 [00:12<1:00, 3.1it/s] GPU memory\n"
                f"WARNING: sample {step} of the data set: device error token available nvidia\n"
            ).encode()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size and self._left > 0:
            line = next(self._lines)
            self._rest += line
            self._left -= len(line)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def seconds_for(num_bytes: int) -> float:
    started = time.process_time()
    explain_file(Log(num_bytes))  # type: ignore[arg-type]  # a raw stream is enough to read from
    return time.process_time() - started


def test_a_long_log_is_read_in_linear_time_and_constant_memory() -> None:
    """Four times the log takes about four times as long and no more memory."""
    short, long = seconds_for(4 << 20), seconds_for(16 << 20)
    assert long < 8 * short + 1
    tracemalloc.start()
    explain_file(Log(4 << 20))  # type: ignore[arg-type]  # see above
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 16 << 20


def test_a_megabyte_takes_no_more_than_half_a_second() -> None:
    """The measure of the product, with room for a slow machine."""
    best = min(seconds_for(1 << 20) for _ in range(3))
    assert best < 0.5
