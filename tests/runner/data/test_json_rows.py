"""JSON of any size is read as a stream, packed or not, with the right lines."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from runner.data import json_rows
from runner.data.faults import RowFault
from runner.data.json_rows import read_json, read_jsonl
from runner.data.row import ReadCounts
from runner.data.rows import read_rows, suffix_of
from runner.errors import DataError
from runner.spec import DataSource

ITEMS = [{"a": i, "text": "x" * (i % 7) + "ü\n", "n": [i, -1.5e3, None]} for i in range(200)]


def values(path: Path) -> list[Any]:
    return [row.value for row in read_rows(DataSource(path=str(path)), ReadCounts())]


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 0, 2])
def test_list_is_the_same_in_chunks_of_any_size(
    monkeypatch: pytest.MonkeyPatch, chunk: int, indent: int | None
) -> None:
    """A chunk may end inside a character, a number or a row."""
    monkeypatch.setattr(json_rows, "CHUNK_BYTES", chunk)
    text = json.dumps(ITEMS, indent=indent, ensure_ascii=False)
    rows = list(read_json(io.BytesIO(text.encode()), "a.json", ReadCounts()))
    assert [row.value for row in rows] == ITEMS
    starts = [text.count("\n", 0, text.index(f'"a": {i},')) + 1 for i in (0, 1, 199)]
    inside = 0 if indent is None else 1  # the key stands a line below the bracket
    assert [rows[i].number for i in (0, 1, 199)] == [start - inside for start in starts]


def test_fault_behind_many_chunks_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are counted through what was dropped from memory."""
    monkeypatch.setattr(json_rows, "CHUNK_BYTES", 64)
    text = "[\n" + ",\n".join(json.dumps(item) for item in ITEMS) + ",\n{broken}\n]"
    with pytest.raises(DataError) as caught:
        list(read_json(io.BytesIO(text.encode()), "a.json", ReadCounts()))
    assert str(caught.value.where) == "a.json:202"
    assert "column 2" in caught.value.what


def test_list_of_bytes_that_are_not_utf8_names_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind the first chunk."""
    monkeypatch.setattr(json_rows, "CHUNK_BYTES", 16)
    raw = b'[\n{"a": 1},\n{"a": 2},\n{"a": "\xff"}]'
    with pytest.raises(DataError) as caught:
        list(read_json(io.BytesIO(raw), "a.json", ReadCounts()))
    assert (caught.value.id, str(caught.value.where)) == ("data-not-utf8", "a.json:4")


def test_line_beyond_the_limit_is_a_fault_and_the_next_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file without line ends does not fill the memory."""
    monkeypatch.setattr(json_rows, "MAX_BYTES", 100)
    raw = b'{"a": 1}\n{"a": "' + b"x" * 500 + b'"}\n{"a": 2}\n'
    rows = list(read_jsonl(io.BytesIO(raw), "a.jsonl", ReadCounts()))
    assert isinstance(rows[1].value, RowFault) and rows[1].value.kind == "data-huge-line"
    assert [(row.number, row.value) for row in rows[::2]] == [(1, {"a": 1}), (3, {"a": 2})]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.JSONL.GZ", "a.ndjson"])
def test_packed_lines_are_read(tmp_path: Path, name: str) -> None:
    """gzip and zstd, by suffix."""
    raw = "".join(json.dumps(item) + "\n" for item in ITEMS).encode()
    path = tmp_path / name
    if name.lower().endswith(".gz"):
        path.write_bytes(gzip.compress(raw))
    elif name.endswith(".zst"):
        pyarrow = pytest.importorskip("pyarrow")
        with pyarrow.output_stream(path, compression="zstd") as stream:
            stream.write(raw)
    else:
        path.write_bytes(raw)
    assert values(path) == ITEMS


def test_tabs_separate_the_columns_of_tsv(tmp_path: Path) -> None:
    """Commas are text there."""
    (tmp_path / "a.tsv").write_text("p\tc\none, two\tthree\n")
    assert values(tmp_path / "a.tsv") == [{"p": "one, two", "c": "three"}]


@pytest.mark.parametrize(
    ("path", "suffix"),
    [
        ("a.jsonl", ".jsonl"),
        ("a.b.jsonl", ".jsonl"),
        ("a.jsonl.gz", ".jsonl"),
        ("a.gz", ""),
        ("a.parquet.gz", ""),
        ("a.txt", ""),
        ("a", ""),
    ],
)
def test_suffix_says_how_a_file_is_read(path: str, suffix: str) -> None:
    """Compression aside; '' is none."""
    assert suffix_of(path) == suffix
