"""Rows of a local file or a hub data set, each with its place; nothing is known of formats here.

A row that cannot be read is handed on as a RowFault; a file that cannot be read is a DataError.
"""

from __future__ import annotations

import codecs
import functools
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from runner.data.json_rows import read_json, read_jsonl
from runner.data.row import ReadCounts, Row
from runner.data.sniff import HEAD_BYTES, foreign_kind
from runner.data.table_rows import read_csv, read_parquet
from runner.errors import DataError, Where
from runner.spec import DataSource

if TYPE_CHECKING:
    from runner.data.hub import HubData

PLAIN_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
PACKED_SUFFIXES = (".gz", ".zst")
SUFFIXES = (*PLAIN_SUFFIXES, ".parquet")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source of the job and where the job names it."""

    key: str  # data.train[0]
    split: str  # train | eval
    spec: DataSource
    sha256: str
    hub_data: HubData | None = None  # its rows, where it is not a file


def is_local(path: str) -> bool:
    """Say whether a source is a file; a name without data suffix that is not there is the hub's."""
    return suffix_of(path) in SUFFIXES or Path(path).exists() or not HUB_NAME.fullmatch(path)


def suffix_of(path: str) -> str:
    """Return the suffix that says how a file is read: .jsonl of `train.jsonl.gz`; else ''."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes[-2:]]
    if suffixes and suffixes[-1] in PACKED_SUFFIXES:
        inner = suffixes[0] if len(suffixes) == 2 else ""
        return inner if inner in PLAIN_SUFFIXES else ""
    return suffixes[-1] if suffixes and suffixes[-1] in SUFFIXES else ""


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
    if not suffix_of(source.path):
        return DataError(
            id="data-unknown-suffix",
            what=f"`{source.path}` is none of {', '.join(SUFFIXES)}, plain or as .gz or .zst",
            where=where,
            why="how to read a file is decided by its suffix",
            fix="rename or convert it (JSON Lines is .jsonl)",
        )
    return _check_bytes(path, source.path, where)


def _check_bytes(path: Path, label: str, where: Where) -> DataError | None:
    """Return what the first bytes of a file say against reading it, or None."""
    try:
        with open_bytes(path) as file:
            head = file.read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        if foreign := _not_packed(path, label):
            return _other_kind(*foreign, label, where)
        return DataError(
            id="data-unreadable",
            what=f"`{label}` cannot be read ({getattr(error, 'strerror', None) or error})",
            where=where,
            why="there is nothing to train on without it",
            fix=f"chmod u+r {label}" if isinstance(error, PermissionError) else "write it again",
        )
    if head in (b"", codecs.BOM_UTF8):
        return DataError(
            id="data-empty-file",
            what=f"`{label}` is empty" + (" but for a byte order mark" if head else " (0 bytes)"),
            where=where,
            why="there is nothing to train on in it",
            fix="write the data into it, or take it out of the job",
        )
    if foreign := foreign_kind(head, label, suffix_of(label)):
        return _other_kind(*foreign, label, where)
    return None


def _not_packed(path: Path, label: str) -> tuple[str, str] | None:
    """Return what a file is that its name calls packed and that is not; None for one that is."""
    if path.suffix.lower() not in PACKED_SUFFIXES:
        return None
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return None
    if not head or head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        return None
    plain = label.rpartition(".")[0]
    return foreign_kind(head, label, suffix_of(label)) or ("not packed", f"name it {plain}")


def _other_kind(kind: str, fix: str, label: str, where: Where) -> DataError:
    return DataError(
        id="data-not-utf8" if kind.startswith("UTF-") else "data-other-kind",
        what=f"`{label}` is {kind}, not what its name says",
        where=f"{where}, {label}:1",
        why="read as something else, it would be noise",
        fix=fix,
    )


def _nearest_file(path: Path) -> str:
    from difflib import get_close_matches

    folder = path.parent
    if not folder.is_dir():
        return f"create the folder `{folder}`, or start from the folder the path is relative to"
    names = [name.name for name in folder.iterdir() if suffix_of(name.name)]
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
    if suffix_of(source.path) == ".parquet":
        return read_parquet(Path(source.path), source.path)
    return _read_file(source.path, counts)


def _read_file(path: str, counts: ReadCounts) -> Iterator[Row]:
    readers: dict[str, Callable[[IO[bytes], str, ReadCounts], Iterator[Row]]] = {
        ".jsonl": read_jsonl,
        ".ndjson": read_jsonl,
        ".json": read_json,
        ".csv": read_csv,
        ".tsv": functools.partial(read_csv, delimiter="\t"),
    }
    number = 0
    with open_bytes(Path(path)) as file:
        try:
            for row in readers[suffix_of(path)](file, path, counts):
                number = row.number
                yield row
        except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
            raise DataError(
                id="data-unreadable",
                what=f"`{path}` cannot be read to its end ({error.strerror or 'broken'})"
                if isinstance(error, OSError)
                else f"`{path}` ends within its compressed data",
                where=Where(file=path, line=number + 1),
                why="the rows after this place are missing",
                fix="copy or pack the file again",
            ) from error


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacked."""
    match path.suffix.lower():
        case ".gz":
            return cast("IO[bytes]", gzip.open(path, "rb"))
        case ".zst":
            import pyarrow  # type: ignore[import-untyped]  # Python knows zstd from 3.14 on

            return cast("IO[bytes]", io.BufferedReader(pyarrow.input_stream(path)))
    return path.open("rb")
