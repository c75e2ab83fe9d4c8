"""What a person sees while the environment is built."""

from __future__ import annotations

import io

import pytest

from bootstrap.progress import Progress, elapsed, megabytes


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_without_a_terminal_lines_are_plain() -> None:
    """A log holds a line for the start and one for the end, without control characters."""
    stream = io.StringIO()
    progress = Progress(stream)
    progress.start("installing 3 packages")
    progress.update("1 of 3")
    progress.finish("done, 5 MB fetched")
    assert stream.getvalue() == (
        "installing 3 packages …\ninstalling 3 packages: done, 5 MB fetched (0 s)\n"
    )


def test_on_a_terminal_one_line_is_rewritten() -> None:
    """Updates replace each other and leave the result alone on its line."""
    stream = Terminal()
    progress = Progress(stream)
    progress.start("installing 3 packages")
    progress.update("1 of 3")
    progress.finish()
    shown = stream.getvalue().split("\r\x1b[K")
    assert shown[-2].startswith("installing 3 packages … 1 of 3")
    assert shown[-1] == "installing 3 packages: done (0 s)\n"


@pytest.mark.parametrize(("seconds", "text"), [(8.4, "8 s"), (125.0, "2 min 05 s")])
def test_time_is_written_for_people(seconds: float, text: str) -> None:
    """Above a minute, minutes are shown."""
    assert elapsed(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(12_300_000, "12 MB"), (1_900_000_000, "1.9 GB")])
def test_size_is_written_for_people(size: int, text: str) -> None:
    """Above a thousand megabytes, gigabytes are shown."""
    assert megabytes(size) == text
