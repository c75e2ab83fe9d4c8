"""Rows of tables: CSV, tab-separated and Parquet, as a stream."""

from __future__ import annotations

import codecs
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from runner.data.faults import RowFault
from runner.data.row import ReadCounts, Row, not_utf8
from runner.errors import DataError, Where

PARQUET_ROWS = 1024  # decoded at once


def read_csv(
    file: IO[bytes], label: str, counts: ReadCounts, *, delimiter: str = ","
) -> Iterator[Row]:
    """Yield the rows of a table with a header, each with the line it begins on."""
    csv.field_size_limit(sys.maxsize)  # the default refuses a field above 128 KiB
    reader = csv.reader(_lines(file, label, counts), strict=True, delimiter=delimiter)
    header: list[str] | None = None
    line = 1
    try:
        for fields in reader:
            if not fields:
                counts.empty_lines += 1
            elif header is None:
                header = _check_header(fields, label, line, delimiter)
            elif len(fields) != len(header):
                detail = f"{len(fields)} fields, the header has {len(header)}"
                yield Row(line, RowFault("data-csv-width", detail))
            else:
                yield Row(line, dict(zip(header, fields, strict=True)), sum(map(len, fields)))
            line = reader.line_num + 1
    except csv.Error as error:
        has_bare_returns = "new-line character" in str(error)
        raise DataError(
            id="data-bad-csv",
            what="not valid CSV: "
            + ("lines end with CR alone" if has_bare_returns else str(error)),
            where=Where(file=label, line=line),
            why="it is not clear where a row ends",
            fix="convert the line ends: tr '\\r' '\\n'"
            if has_bare_returns
            else 'close each quote, and write a quote inside a quoted field as ""',
        ) from None


def _lines(file: IO[bytes], label: str, counts: ReadCounts) -> Iterator[str]:
    for number, raw in enumerate(file, start=1):
        line = raw
        if number == 1 and raw.startswith(codecs.BOM_UTF8):
            counts.has_bom, line = True, raw[3:]
        counts.crlf_lines += raw.endswith(b"\r\n")
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError:
            raise not_utf8(label, number) from None  # the cause holds the bytes of the file


def _check_header(names: list[str], label: str, line: int, delimiter: str) -> list[str]:
    if len(set(names)) != len(names):
        raise DataError(
            id="data-duplicate-column",
            what="two columns of the header have the same name",
            where=Where(file=label, line=line),
            why="it is not clear which of them counts",
            fix="give each column a name of its own",
        )
    others = {char: name for char, name in _DELIMITERS.items() if char != delimiter}
    found = [name for char, name in others.items() if len(names) == 1 and char in names[0]]
    if found:
        raise DataError(
            id="data-csv-delimiter",
            what=f"the columns are separated by {found[0]}, not by {_DELIMITERS[delimiter]}",
            where=Where(file=label, line=line),
            why="every row would be one column",
            fix="write it with commas as .csv, or with tabs as .tsv",
        )
    return names


_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def read_parquet(path: Path, label: str) -> Iterator[Row]:
    """Yield the rows of a Parquet file, numbered from 1."""
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        number = 0
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=PARQUET_ROWS):
                for value in batch.to_pylist():
                    number += 1
                    yield Row(number, value)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            id="data-bad-parquet",
            what=f"not a readable Parquet file ({type(error).__name__})",
            where=label,
            why="the rows cannot be read",
            fix="write the file again; a copy that was cut short looks like this",
        ) from error
