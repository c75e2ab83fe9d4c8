"""Reading a container's end, without an engine."""

from __future__ import annotations

import pytest

from runner.container.process import exit_code_of, seconds_of


@pytest.mark.parametrize(
    ("status", "expected"), [(0, 0), (1, 1), (3, 3), (75, 75), (130, 130), (137, -9), (139, -11)]
)
def test_status_of_a_container_becomes_an_exit_code(status: int, expected: int) -> None:
    """A death by a signal is negative, as on the host; our own exit codes stay."""
    assert exit_code_of(status) == expected


def test_the_engines_time_stamps_are_read() -> None:
    """With nanoseconds, without any, and the zero that stands for `not yet`."""
    assert seconds_of("1970-01-01T00:01:00.250000000Z") == 60.25
    assert seconds_of("1970-01-01T00:01:00Z") == 60
    assert seconds_of("0001-01-01T00:00:00Z") is None and seconds_of("") is None
