"""Rows come with their line; what cannot be read is named by file, line and column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runner.data.faults import RowFault
from runner.data.row import ReadCounts
from runner.data.rows import is_local, read_rows
from runner.errors import DataError
from runner.spec import DataSource


def read(path: Path, raw: bytes) -> tuple[list[Any], ReadCounts]:
    path.write_bytes(raw)
    counts = ReadCounts()
    rows = [
        (row.number, row.value.kind if isinstance(row.value, RowFault) else row.value)
        for row in read_rows(DataSource(path=str(path)), counts)
    ]
    return rows, counts


def test_jsonl_skips_and_counts_empty_lines(tmp_path: Path) -> None:
    """Empty lines are no rows, and the line numbers stay those of the file."""
    rows, counts = read(tmp_path / "a.jsonl", b'{"a": 1}\n\n  \n{"a": 2}\n')
    assert rows == [(1, {"a": 1}), (4, {"a": 2})]
    assert counts.empty_lines == 2


def test_bom_and_crlf_are_no_part_of_a_row(tmp_path: Path) -> None:
    """A byte order mark and Windows line ends are skipped and counted."""
    rows, counts = read(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}\r\n')
    assert rows == [(1, {"a": 1}), (2, {"a": 2})]
    assert counts.has_bom and counts.crlf_lines == 2


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"a": 1', "data-bad-json"),
        (b"{'a': 1}", "data-bad-json"),
        (b'{"a": 1} {"a": 2}', "data-bad-json"),
        (b'{"a": ' + b"1" * 5000 + b"}", "data-bad-json"),
        (b"[" * 100_000, "data-bad-json"),
        (b'{"a": "\x00"}', "data-bad-json"),
        (b'["a"]', "data-not-object"),
        (b"3", "data-not-object"),
        (b'{"a": 1, "a": 2}', "data-duplicate-key"),
        (b'{"a": {"b": 1, "b": 2}}', "data-duplicate-key"),
        (b'{"a": NaN}', "data-not-finite"),
        (b'{"a": -Infinity}', "data-not-finite"),
        (b'{"a": "\xe9"}', "data-not-utf8"),
    ],
)
def test_broken_line_is_one_fault_and_the_next_line_is_read(
    tmp_path: Path, line: bytes, kind: str
) -> None:
    """A line that cannot be read does not hide those after it."""
    rows, _ = read(tmp_path / "a.jsonl", b'{"a": 0}\n' + line + b'\n{"a": 2}\n')
    assert rows == [(1, {"a": 0}), (2, kind), (3, {"a": 2})]


def test_malformed_line_names_its_column(tmp_path: Path) -> None:
    """The detail of malformed JSON is the column and the decoder's phrase, no text."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"secret words": 1, }\n')
    [row] = read_rows(DataSource(path=str(path)), ReadCounts())
    assert isinstance(row.value, RowFault)
    assert row.value.detail.startswith("column 21: ") or row.value.detail.startswith("column 19: ")
    assert "secret" not in row.value.detail


def test_bytes_that_are_not_utf8_name_their_place(tmp_path: Path) -> None:
    """The detail is the byte in the line and in the file."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 0}\n{"a": "\xff"}\n')
    rows = list(read_rows(DataSource(path=str(path)), ReadCounts()))
    assert isinstance(rows[1].value, RowFault)
    assert rows[1].value.detail == "byte 8; 16 in file"


def test_json_list_gives_the_line_of_each_row(tmp_path: Path) -> None:
    """Rows of a .json list are known by the line they start on."""
    text = '[\n  {"a": 1},\n  {"a": 2, "a": 3},\n\n  {"a": 4}\n]\n'
    rows, _ = read(tmp_path / "a.json", text.encode())
    assert rows == [(2, {"a": 1}), (3, "data-duplicate-key"), (5, {"a": 4})]


@pytest.mark.parametrize(
    ("name", "raw", "id", "where"),
    [
        ("a.json", b'{"a": 1}', "data-not-a-list", "a.json:1"),
        ("a.json", b'{"a": 1}\n{"a": 2}\n', "data-not-a-list", "a.json:1"),
        ("a.json", b'[{"a": 1},\n{"a": 2\n]', "data-bad-json", "a.json:3"),
        ("a.json", b'[{"a": 1}\n{"a": 2}]', "data-bad-json", "a.json:2"),
        ("a.json", b'[{"a": 1}] x', "data-bad-json", "a.json:1"),
        ("a.json", b'[\n{"a": "\xff"}]', "data-not-utf8", "a.json:2"),
        ("a.jsonl", b'[\n{"a": 1}\n]\n', "data-not-json-lines", "a.jsonl:1"),
        ("a.jsonl", b'{\n"a": 1\n}\n', "data-not-json-lines", "a.jsonl:1"),
        ("a.csv", b"a,a\n1,2\n", "data-duplicate-column", "a.csv:1"),
        ("a.csv", b'a,b\n1,2\n"1,2\n', "data-bad-csv", "a.csv:3"),
        ("a.csv", b"a,b\n1,\xff\n", "data-not-utf8", "a.csv:2"),
        ("a.parquet", b"PAR1 not really", "data-bad-parquet", "a.parquet"),
    ],
)
def test_file_that_cannot_be_read_is_refused_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, raw: bytes, id: str, where: str
) -> None:
    """The error names the file, and the line where there is one."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        read(Path(name), raw)
    assert (caught.value.id, str(caught.value.where)) == (id, where)


def test_csv_rows_know_the_line_they_start_on(tmp_path: Path) -> None:
    """Quoted line breaks and short rows do not shift the numbers."""
    rows, _ = read(tmp_path / "a.csv", b'\xef\xbb\xbfp,c\n"one\ntwo",x\nlonely\n"1, 2",y\n')
    assert rows == [
        (2, {"p": "one\ntwo", "c": "x"}),
        (4, "data-csv-width"),
        (5, {"p": "1, 2", "c": "y"}),
    ]


def test_parquet_rows_are_numbered(tmp_path: Path) -> None:
    """A Parquet file gives its rows in order, from 1."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    messages = [[{"role": "user", "content": "a"}], [{"role": "user", "content": "b"}]]
    parquet.write_table(pyarrow.table({"messages": messages}), path)
    rows = list(read_rows(DataSource(path=str(path)), ReadCounts()))
    assert [row.number for row in rows] == [1, 2]
    assert [row.value["messages"] for row in rows if isinstance(row.value, dict)] == messages


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("data/train.jsonl", True),
        ("org/name", False),
        ("imdb", False),
        ("./train", True),
        ("/data/train", True),
        ("a/b/c", True),
        ("org/name.json", True),
    ],
)
def test_what_looks_like_a_file_is_never_asked_of_the_hub(path: str, local: bool) -> None:
    """A data suffix, a leading dot or slash, or two slashes make a path."""
    assert is_local(path) == local


def test_large_json_list_is_read_in_linear_time(tmp_path: Path) -> None:
    """Line numbers of 20,000 rows cost no rereading from the start."""
    rows, _ = read(tmp_path / "a.json", json.dumps([{"a": 1}] * 20_000, indent=0).encode())
    assert rows[-1][0] == 2 + 3 * 19_999
