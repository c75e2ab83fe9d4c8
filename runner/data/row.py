"""One row with its place, and what is counted while rows are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from runner.data.faults import RowFault
from runner.errors import DataError, Where


class Row(NamedTuple):
    """One row, or why it cannot be read, and its line or row number (1-based)."""

    number: int
    value: dict[str, Any] | RowFault
    size: int = 0  # bytes or characters in the file, where they are known


@dataclass
class ReadCounts:
    """What was skipped or mended while reading; counted, so that nothing is silent."""

    empty_lines: int = 0
    has_bom: bool = False
    crlf_lines: int = 0


def not_utf8(label: str, line: int) -> DataError:
    """Return the error of a file that is not UTF-8 from a line on."""
    return DataError(
        id="data-not-utf8",
        what="bytes that are not UTF-8",
        where=Where(file=label, line=line),
        why="the text would be trained on garbled",
        fix=f"iconv -f WINDOWS-1252 -t UTF-8 {label} > converted{Path(label).suffix}",
    )
