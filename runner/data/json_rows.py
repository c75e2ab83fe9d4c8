"""Rows of JSON Lines and of JSON lists, read strictly and as a stream."""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from typing import IO, Any

from runner.data.faults import RowFault
from runner.data.row import ReadCounts, Row, not_utf8
from runner.errors import DataError, Where

MAX_BYTES = 1 << 26  # of one row; a longer one is a file without line ends
CHUNK_BYTES = 1 << 20


class StrictJson:
    """A JSON decoder that refuses what the standard one lets pass: duplicate keys, NaN."""

    def __init__(self) -> None:
        self.oddity: RowFault | None = None
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_constant=self._constant,
            parse_float=self._float,
        )
        self._scan = self._decoder.scan_once  # type: ignore[attr-defined]  # the stubs lack it

    def decode(self, text: str) -> dict[str, Any] | RowFault:
        """Return the object a text holds, or what is wrong with it."""
        self.oddity = None
        try:
            value, end = self._scan(text, 0)
            if end == len(text):  # nothing but the value: nearly every line
                return self.judge(value)
        except (StopIteration, RecursionError, ValueError):
            pass  # said below, in the decoder's words
        try:
            value = self._decoder.decode(text)
        except json.JSONDecodeError as error:
            detail, hint = _explained(error, text)
            return RowFault("data-bad-json", f"column {error.colno}: {detail}", hint)
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
        """Return a decoded value if it is a row."""
        if not isinstance(value, dict):
            if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
                hint = "decode each line once more (json.loads): it was encoded twice"
                return RowFault("data-not-object", "a string that holds JSON", hint)
            return RowFault("data-not-object")
        return self.oddity or value

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            self.oddity = RowFault("data-duplicate-key")
        return value

    def _float(self, digits: str) -> float:
        value = float(digits)
        return self._constant(digits) if math.isinf(value) else value

    def _constant(self, _: str) -> float:
        self.oddity = RowFault("data-not-finite")
        return 0.0


def _reason(error: json.JSONDecodeError) -> str:
    """Return the decoder's message: one of a dozen fixed phrases, never text of the row."""
    return error.msg.rstrip(": ")


def _explained(error: json.JSONDecodeError, text: str) -> tuple[str, str]:
    """Return why a line is no JSON, and a fix where the likely cause is known."""
    start, before = text.lstrip()[:7], text[: error.pos].rstrip()[-1:]
    at = text[error.pos : error.pos + 1]
    if "\0" in start:
        return "zero bytes: a write was broken off here", "take them out, and see what is missing"
    if text.startswith("\ufeff"):
        return "a byte order mark inside the file", "take it out: files were joined as they were"
    if start in ("<<<<<<<", "=======", ">>>>>>>"):
        return "a mark of a merge conflict", "resolve the conflict"
    if start[:2] == "//" or start[:1] == "#":
        return "a comment, which JSON does not have", "take the line out"
    if at == "'" or start[:2] == "{'":
        return "single quotes", "write the rows with json.dumps, not with str or repr"
    if at in ("N", "T", "F", "u") and text.startswith(
        ("None", "True", "False", "undef"), error.pos
    ):
        return "a word JSON does not have", "write null, true or false"
    if at in ("}", "]") and before == ",":
        return "a comma before the closing bracket", "take the comma out"
    if at in ("\u201c", "\u201d", "\u201e", "\u2018", "\u2019"):
        return "typographic quotes", 'write straight ones: "'
    if error.msg.startswith("Extra data") and at == ",":
        return "a comma after the object", "take it out: rows are apart by line ends alone"
    if error.msg.startswith("Extra data") and "\r" in text:
        return "lines end with CR alone", "convert the line ends: tr '\\r' '\\n'"
    if error.msg.startswith("Extra data") and at == "{":
        return "two objects on one line", "begin a new line for each"
    if error.msg.startswith("Extra data"):
        return "something behind the object", "take it out: a line holds one object and no more"
    return _reason(error), ""


def read_jsonl(file: IO[bytes], label: str, counts: ReadCounts) -> Iterator[Row]:
    """Yield the rows of JSON Lines; a line that cannot be read does not hide those after it."""
    strict, offset, number = StrictJson(), 0, 0
    ahead: list[bytes] = []
    while raw := (ahead.pop() if ahead else file.readline(MAX_BYTES)):
        number, line, size = number + 1, raw, len(raw)
        if number == 1 and raw.startswith(codecs.BOM_UTF8):
            counts.has_bom, line = True, raw[3:]
        is_ended = raw.endswith(b"\n")
        counts.crlf_lines += raw.endswith(b"\r\n")
        if size == MAX_BYTES and not is_ended:
            offset += _skip_line(file)
            yield Row(number, RowFault("data-huge-line"), size)
        elif line.strip():
            value = _decode_line(strict, line, offset)
            if isinstance(value, RowFault) and value.kind == "data-bad-json" and not is_ended:
                value.detail += "; the last line, without a line end: the file may be cut short"
            if number == 1 and isinstance(value, RowFault):
                ahead.append(file.readline(MAX_BYTES))
                _refuse_other_json(line.strip(), ahead[0].strip(), value, label)
            yield Row(number, value, size)
        else:
            counts.empty_lines += 1
        offset += size


def _skip_line(file: IO[bytes]) -> int:
    """Read on to the end of a line; return how many bytes that were."""
    skipped = 0
    while raw := file.readline(CHUNK_BYTES):
        skipped += len(raw)
        if raw.endswith(b"\n"):
            break
    return skipped


def _decode_line(strict: StrictJson, line: bytes, offset: int) -> dict[str, Any] | RowFault:
    try:
        # without the line's end, so that a column past it means the line was cut short
        return strict.decode(line.decode("utf-8").rstrip("\r\n"))
    except UnicodeDecodeError as error:
        return RowFault("data-not-utf8", f"byte {error.start + 1}; {offset + error.start} in file")


def _refuse_other_json(line: bytes, following: bytes, fault: RowFault, label: str) -> None:
    """Name the files that are JSON but not JSON Lines, instead of a fault a line.

    Args:
        line: the first line, no row by itself.
        following: the second one.
    """
    is_object = line == b"{" and following[:1] in (b'"', b"}")
    is_list = line[:1] == b"[" and (not following or fault.kind == "data-bad-json")
    if is_object or is_list:
        raise DataError(
            id="data-not-json-lines",
            what="the file is one JSON text, not one object a line",
            where=Where(file=label, line=1),
            why="every line would be read as a broken row",
            fix="name it .json if it is one list of rows, or write one object a line",
        )


class _Window:
    """The part of a JSON text around the place that is read; grows on demand, forgets behind."""

    def __init__(self, file: IO[bytes], label: str, counts: ReadCounts) -> None:
        self.file, self.label, self.counts = file, label, counts
        self.text, self.position, self.line = "", 0, 1
        self.is_whole = False
        self._bytes_read = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._counted = 0

    def grow(self) -> bool:
        """Read on, at least as much again as is there; say whether there was more."""
        if self.is_whole:
            return False
        raw = self.file.read(max(CHUNK_BYTES, len(self.text)))
        if not self._bytes_read and raw.startswith(codecs.BOM_UTF8):
            self.counts.has_bom, raw = True, raw[3:]
        self._bytes_read += len(raw)
        self.counts.crlf_lines += raw.count(b"\r\n")
        self.is_whole = not raw
        try:
            self.text += self._decoder.decode(raw, final=self.is_whole)
        except UnicodeDecodeError as error:
            line = self.line_at(len(self.text)) + raw.count(b"\n", 0, max(0, error.start))
            raise not_utf8(self.label, line) from None  # the cause holds the bytes of the file
        return not self.is_whole

    def skip_space(self) -> str:
        """Go to the next character that is no white space and return it, or ''."""
        while True:
            while self.position < len(self.text) and self.text[self.position] in " \t\r\n":
                self.position += 1
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.grow():
                return ""

    def line_at(self, position: int) -> int:
        """Return the line of a place at or behind the last one asked for."""
        return self.line + self.text.count("\n", self._counted, position)

    def forget(self) -> None:
        """Drop what was read; lines go on counting."""
        self.line, self._counted = self.line_at(self.position), self.position
        if self.position > CHUNK_BYTES:
            self.text = self.text[self.position :]
            self.position = self._counted = 0


def read_json(file: IO[bytes], label: str, counts: ReadCounts) -> Iterator[Row]:
    """Yield the rows of a JSON list, each with the line it begins on."""
    window, strict = _Window(file, label, counts), StrictJson()
    if window.skip_space() != "[":
        raise _not_a_list(window)
    window.position += 1
    char = window.skip_space()
    while char != "]":
        window.forget()
        start, line = window.position, window.line
        yield Row(line, strict.judge(_next_value(window, strict)), window.position - start)
        char = window.skip_space()
        if char == ",":
            window.position += 1
            char = window.skip_space()
            if char == "]":
                raise _broken(window, "a comma before the closing bracket")
        elif char != "]":
            raise _broken(window, "Expecting ',' or ']'")
    window.position += 1
    if window.skip_space():
        raise _broken(window, "Extra data")


def _next_value(window: _Window, strict: StrictJson) -> Any:
    while True:
        try:
            value, end = strict.decode_at(window.text, window.position)
        except json.JSONDecodeError as error:
            # an end of the window looks like an error; a row of 64 MiB is none
            if len(window.text) - window.position < MAX_BYTES and window.grow():
                continue
            window.forget()
            raise _broken(window, _reason(error), error.pos) from None  # it quotes the document
        except (RecursionError, ValueError):
            raise _broken(window, "a number with too many digits, or nested too deeply") from None
        if end < len(window.text) or window.is_whole:
            window.position = end
            return value
        window.grow()  # a number may go on


def _broken(window: _Window, reason: str, position: int | None = None) -> DataError:
    at = window.position if position is None else position
    column = at - window.text.rfind("\n", 0, at)
    return DataError(
        id="data-bad-json",
        what=f"not valid JSON: column {column}: {reason}",
        where=Where(file=window.label, line=window.line_at(at)),
        why="what follows in the file cannot be read",
        fix="mend that place, or write one object a line in a .jsonl file",
    )


def _list_fix(text: str, *, is_lines: bool) -> str:
    """Return how to make a list of rows of an object."""
    if inner := re.match(r'(?:\{\s*"\w{1,40}"\s*:\s*)*\{\s*"(\w{1,40})"\s*:\s*\[\s*\{', text):
        return f"write the list under `{inner[1]}` alone: [ {{…}}, {{…}} ]"
    if re.match(r'\{\s*"[^"]{1,80}"\s*:\s*[\[{]', text):
        return 'write rows, not columns: DataFrame.to_json(…, orient="records", lines=True)'
    if is_lines:
        return "name it .jsonl: it holds one object a line"
    return "write [ {…}, {…} ], or one object a line in a .jsonl file"


def _not_a_list(window: _Window) -> DataError:
    lines = window.text[window.position :].splitlines()[:2]
    is_lines = all(line.startswith("{") and line.rstrip().endswith("}") for line in lines)
    return DataError(
        id="data-not-a-list",
        what="the top level of a .json file is not a list of rows",
        where=Where(file=window.label, line=window.line_at(window.position)),
        why="it is not clear what a row is",
        fix=_list_fix(window.text[window.position :], is_lines=bool(lines) and is_lines),
    )
