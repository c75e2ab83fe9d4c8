"""Rows of a local file or a hub data set, each with its place; nothing is known of formats here.

A row that cannot be read is handed on as a RowFault; a file that cannot be read is a DataError.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.data.faults import RowFault
from runner.errors import DataError, Where
from runner.spec import DataSource

if TYPE_CHECKING:
    from runner.data.hub import HubData

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source of the job and where the job names it."""

    key: str  # data.train[0]
    split: str  # train | eval
    spec: DataSource
    sha256: str
    hub_data: HubData | None = None  # its rows, where it is not a file


class Row(NamedTuple):
    """One row, or why it cannot be read, and its line or row number (1-based)."""

    number: int
    value: dict[str, Any] | RowFault
    size: int = 0  # bytes in the file, where they are known


@dataclass
class ReadCounts:
    """What was skipped or mended while reading; counted, so that nothing is silent."""

    empty_lines: int = 0
    has_bom: bool = False
    crlf_lines: int = 0


def is_local(path: str) -> bool:
    """Say whether a source is a file; a name without data suffix that is not there is the hub's."""
    known = Path(path).suffix.lower() in SUFFIXES
    return known or Path(path).exists() or not HUB_NAME.fullmatch(path)


def place(source: DataSource, number: int) -> str:
    """Return `file:line`, or `file row 17` where rows are not lines."""
    by_line = is_local(source.path) and not source.path.lower().endswith(".parquet")
    return f"{source.path}:{number}" if by_line else f"{source.path} row {number}"


def check_file(source: DataSource, where: Where) -> DataError | None:
    """Return what keeps a local source from being opened, or None."""
    path = Path(source.path)
    why = "there is nothing to train on without it"
    if not path.exists():
        return DataError(
            id="data-missing-file",
            what=f"no file `{source.path}`",
            where=where,
            why=why,
            fix=_nearest_file(path),
        )
    if path.is_dir():
        return DataError(
            id="data-not-a-file",
            what=f"`{source.path}` is a folder, a file is expected",
            where=where,
            why=why,
            fix="name the files in it, one source each",
        )
    if path.suffix.lower() not in SUFFIXES:
        return DataError(
            id="data-unknown-suffix",
            what=f"`{source.path}` is none of {', '.join(SUFFIXES)}",
            where=where,
            why="how to read a file is decided by its suffix",
            fix="rename or convert it (JSON Lines is .jsonl)",
        )
    return _check_bytes(path, source.path, where)


def _check_bytes(path: Path, label: str, where: Where) -> DataError | None:
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        return DataError(
            id="data-unreadable",
            what=f"`{label}` cannot be read ({error.strerror})",
            where=where,
            why="there is nothing to train on without it",
            fix=f"chmod u+r {label}",
        )
    if not head:
        return DataError(
            id="data-empty-file",
            what=f"`{label}` is empty (0 bytes)",
            where=where,
            why="there is nothing to train on in it",
            fix="write the data into it, or take it out of the job",
        )
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return DataError(
            id="data-not-utf8",
            what=f"`{label}` is UTF-16, UTF-8 is expected",
            where=where,
            why="the text would be trained on garbled",
            fix=f"iconv -f UTF-16 -t UTF-8 {label} > converted{path.suffix}",
        )
    return None


def _nearest_file(path: Path) -> str:
    from difflib import get_close_matches

    folder = path.parent
    if not folder.is_dir():
        return f"create the folder `{folder}`, or start from the folder the path is relative to"
    names = [name.name for name in folder.iterdir() if name.suffix.lower() in SUFFIXES]
    near = get_close_matches(path.name, names, n=1, cutoff=0.5)
    if near:
        return f"write `{folder / near[0]}`"
    return f"put the file there; `{folder}` holds {', '.join(sorted(names)[:8]) or 'no data file'}"


def read_rows(
    source: DataSource, counts: ReadCounts, hub_data: HubData | None = None
) -> Iterator[Row]:
    """Yield all rows of a source, in order; those of the hub from where `bring` has put them.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    if hub_data is not None:
        from runner.data.hub import read_hub

        return (Row(number, row) for number, row in enumerate(read_hub(hub_data), start=1))
    readers: dict[str, Callable[[Path, str, ReadCounts], Iterator[Row]]] = {
        ".jsonl": _read_jsonl,
        ".json": _read_json,
        ".csv": _read_csv,
        ".parquet": _read_parquet,
    }
    path = Path(source.path)
    return readers[path.suffix.lower()](path, source.path, counts)


class _StrictJson:
    """A JSON decoder that refuses what the standard one lets pass: duplicate keys, NaN."""

    def __init__(self) -> None:
        self.oddity: RowFault | None = None
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object, parse_constant=self._constant
        )

    def decode(self, text: str) -> dict[str, Any] | RowFault:
        """Return the object a text holds, or what is wrong with it."""
        self.oddity = None
        try:
            value = self._decoder.decode(text)
        except json.JSONDecodeError as error:
            return RowFault("data-bad-json", f"column {error.colno}: {_reason(error)}")
        except RecursionError:
            return RowFault("data-bad-json", "nested too deeply")
        except ValueError:
            return RowFault("data-bad-json", "a number with too many digits")
        return self.judge(value)

    def decode_at(self, text: str, start: int) -> tuple[Any, int]:
        """Decode one value of a longer text; return it and where it ends."""
        self.oddity = None
        return self._decoder.raw_decode(text, start)

    def judge(self, value: Any) -> dict[str, Any] | RowFault:
        if not isinstance(value, dict):
            return RowFault("data-not-object")
        return self.oddity or value

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            self.oddity = RowFault("data-duplicate-key")
        return value

    def _constant(self, _: str) -> float:
        self.oddity = RowFault("data-not-finite")
        return 0.0


def _reason(error: json.JSONDecodeError) -> str:
    """Return the decoder's message: one of a dozen fixed phrases, never text of the row."""
    return error.msg.rstrip(": ")


def _read_jsonl(path: Path, label: str, counts: ReadCounts) -> Iterator[Row]:
    strict, offset = _StrictJson(), 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            line = raw
            if number == 1 and raw.startswith(codecs.BOM_UTF8):
                counts.has_bom, line = True, raw[3:]
            counts.crlf_lines += raw.endswith(b"\r\n")
            if not line.strip():
                counts.empty_lines += 1
            else:
                value = _decode_line(strict, line, offset)
                if number == 1 and isinstance(value, RowFault):
                    _refuse_other_json(line, label)
                yield Row(number, value, len(raw))
            offset += len(raw)


def _decode_line(strict: _StrictJson, line: bytes, offset: int) -> dict[str, Any] | RowFault:
    try:
        # without the line's end, so that a column past it means the line was cut short
        return strict.decode(line.decode("utf-8").rstrip("\r\n"))
    except UnicodeDecodeError as error:
        return RowFault("data-not-utf8", f"byte {error.start + 1}; {offset + error.start} in file")


def _refuse_other_json(line: bytes, label: str) -> None:
    """Name the two common files that are JSON but not JSON Lines, instead of a fault a line."""
    if line.strip() == b"{" or line.lstrip().startswith(b"["):
        raise DataError(
            id="data-not-json-lines",
            what="the file is JSON over several lines, not one object a line",
            where=Where(file=label, line=1),
            why="every line would be read as a broken row",
            fix="name it .json if it is one list of rows, or write one object a line",
        )


def _read_json(path: Path, label: str, counts: ReadCounts) -> Iterator[Row]:
    text = _read_text(path, label, counts)
    position = _skip(text, 0)
    if not text.startswith("[", position):
        raise _not_a_list(text, position, label)
    strict, position = _StrictJson(), _skip(text, position + 1)
    line, counted_to = 1, 0
    while not text.startswith("]", position):
        line, counted_to = line + text.count("\n", counted_to, position), position
        try:
            value, position = strict.decode_at(text, position)
        except ValueError as error:
            raise _broken_json(error, label, line) from None  # the cause quotes the document
        except RecursionError:
            raise _broken_json(ValueError(), label, line) from None
        yield Row(line, strict.judge(value))
        position = _skip(text, position)
        if text.startswith(",", position):
            position = _skip(text, position + 1)
        elif not text.startswith("]", position):
            at = json.JSONDecodeError("Expecting ',' or ']'", text, position)
            raise _broken_json(at, label, line)
    if (end := _skip(text, position + 1)) != len(text):
        raise _broken_json(json.JSONDecodeError("Extra data", text, end), label, line)


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _not_a_list(text: str, position: int, label: str) -> DataError:
    lines = text[position:].splitlines()[:2]
    is_lines = all(line.startswith("{") and line.rstrip().endswith("}") for line in lines)
    return DataError(
        id="data-not-a-list",
        what="the top level of a .json file is not a list of rows",
        where=Where(file=label, line=1 + text.count("\n", 0, position)),
        why="it is not clear what a row is",
        fix="name it .jsonl: it holds one object a line"
        if lines and is_lines
        else "write [ {…}, {…} ], or one object a line in a .jsonl file",
    )


def _broken_json(error: ValueError, label: str, line: int) -> DataError:
    what = "not valid JSON: a number with too many digits, or nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        line, what = error.lineno, f"not valid JSON: column {error.colno}: {_reason(error)}"
    return DataError(
        id="data-bad-json",
        what=what,
        where=Where(file=label, line=line),
        why="what follows in the file cannot be read",
        fix="mend that place, or write one object a line in a .jsonl file",
    )


def _read_text(path: Path, label: str, counts: ReadCounts) -> str:
    raw = path.read_bytes()
    if raw.startswith(codecs.BOM_UTF8):
        counts.has_bom, raw = True, raw[3:]
    counts.crlf_lines += raw.count(b"\r\n")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = 1 + raw.count(b"\n", 0, error.start)
        raise DataError(
            id="data-not-utf8",
            what=f"bytes that are not UTF-8, at byte {error.start} of the file",
            where=Where(file=label, line=line),
            why="the text would be trained on garbled",
            fix=f"iconv -f WINDOWS-1252 -t UTF-8 {label} > converted{path.suffix}",
        ) from None  # the cause holds the bytes of the file


def _read_csv(path: Path, label: str, counts: ReadCounts) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # the default refuses a field above 128 KiB
    text = _read_text(path, label, counts)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for fields in reader:
            if not fields:
                counts.empty_lines += 1
            elif header is None:
                header = _check_header(fields, label, line)
            elif len(fields) != len(header):
                detail = f"{len(fields)} fields, the header has {len(header)}"
                yield Row(line, RowFault("data-csv-width", detail))
            else:
                yield Row(line, dict(zip(header, fields, strict=True)))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            id="data-bad-csv",
            what=f"not valid CSV: {error}",
            where=Where(file=label, line=line),
            why="a quote that is not closed swallows the rows after it",
            fix='write a quote inside a quoted field as ""',
        ) from None


def _check_header(names: list[str], label: str, line: int) -> list[str]:
    if len(set(names)) == len(names):
        return names
    raise DataError(
        id="data-duplicate-column",
        what="two columns of the header have the same name",
        where=Where(file=label, line=line),
        why="it is not clear which of them counts",
        fix="give each column a name of its own",
    )


def _read_parquet(path: Path, label: str, counts: ReadCounts) -> Iterator[Row]:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        number = 0
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
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
