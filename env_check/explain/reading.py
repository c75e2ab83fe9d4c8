"""Bytes of a report or a log → blocks of clean lines with their numbers, in constant memory."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from env_check.explain.translating import in_english

BLOCK_BYTES = 1 << 19
LONGEST_LINE = 4000  # characters; a longer line is read in pieces of this size
MOST_REPEATS = 24  # of one line, digits apart
MOST_SHAPES = 20_000  # lines of different shape that are remembered
OVERLAP_LINES = 12  # lines repeated at the start of the next block, for messages of several lines

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b\n]{0,200}(?:\x07|\x1b\\)|[@-Z\\-_])"
)
# What docker compose, torchrun, mpirun, vLLM, journald and a quoting forum put before a line.
_PREFIXES = re.compile(
    r"^(?:(?:>[ \t]?)+"
    r"|[\w.-]{1,60}[ \t]+\|[ \t]"
    r"|\[[\w.-]{0,40}\d+(?:\|\d+)?\]:[ \t]?"
    r"|\[\d+,\d+\]<std(?:err|out)>:"
    r"|\((?:[A-Z]\w{0,30}[ \t])?(?:pid|rank)=[^)\n]{1,40}\)[ \t]"
    r"|\d{4}-\d\d-\d\dT[\d:.]{8,20}(?:Z|[+-]\d\d:?\d\d)[ \t](?:std(?:err|out)[ \t][FP][ \t])?"
    r"|[A-Z][a-z]{2}[ \t]+\d{1,2}[ \t]\d\d:\d\d:\d\d[ \t]\S{1,60}[ \t]"
    r"[\w./@-]{1,40}(?:\[\d+\])?:[ \t]"
    r")",
    re.MULTILINE,
)
# Letters beside ideographs begin and end no word for an expression: a space divides them.
_BESIDE_IDEOGRAPH = re.compile(
    r"(?<=[A-Za-z0-9])(?=[\u3040-\u30ff\u4e00-\u9fff])|(?<=[\u3040-\u30ff\u4e00-\u9fff])(?=[A-Za-z0-9])"
)
# A box of a form that nobody ticked says nothing.
_UNTICKED = re.compile(r"^[ \t]*[-*+][ \t]\[[ \t]?\][ \t][^\n]*", re.MULTILINE)
_DIGITS = str.maketrans("123456789", "000000000")
_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "\xa0": " ", "：": ":", "\0": " "})  # noqa: RUF001 (what people paste)


@dataclass(frozen=True)
class Block:
    """Some lines of the text; `numbers[i]` is the 1-based number of line i in the file."""

    text: str
    lowered: str  # the same text in lower case, same length
    numbers: tuple[int, ...]
    num_repeated: int  # characters at the start that the block before had too

    @cached_property
    def line_starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer("\n", self.text))]


def blocks(stream: BinaryIO) -> Iterator[Block]:
    """Yield the text block by block; never raises on what the bytes hold."""
    first = stream.read(BLOCK_BYTES)
    decoder = codecs.getincrementaldecoder(encoding_of(first))(errors="replace")
    data, pending, number = first, "", 1
    tail: list[str] = []
    tail_numbers: list[int] = []
    repetition = Repetition()
    while data or pending:
        text = pending + decoder.decode(data, final=not data)
        text, pending = _split_off_last_line(text) if data else (text, "")
        data = stream.read(BLOCK_BYTES) if data else b""
        if not text:
            continue
        lines, numbers, number = _lines(text, number)
        lines, numbers = _clean(*repetition.without(lines, numbers))
        if lines:
            yield _block(tail, tail_numbers, lines, numbers)
            tail, tail_numbers = lines[-OVERLAP_LINES:], numbers[-OVERLAP_LINES:]


class Repetition:
    """Forgets lines that a log says over and over, with other numbers: steps, progress bars."""

    def __init__(self) -> None:
        self._times: dict[str, int] = {}

    def without(self, lines: list[str], numbers: list[int]) -> tuple[list[str], list[int]]:
        """Return the lines, and their numbers, that did not stand here so often before."""
        times = self._times
        if len(times) > MOST_SHAPES:
            times.clear()
        kept: list[str] = []
        kept_numbers: list[int] = []
        shapes = "\n".join(lines).translate(_DIGITS).split("\n")
        for place, shape in enumerate(shapes):
            count = times.get(shape, 0)
            if count < MOST_REPEATS:
                times[shape] = count + 1
                kept.append(lines[place])
                kept_numbers.append(numbers[place])
        return kept, kept_numbers


def encoding_of(start: bytes) -> str:
    """Return the encoding by the byte-order mark, or by where the zero bytes stand."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if start.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    sample = start[:4096]
    zeros_odd, zeros_even = sample[1::2].count(0), sample[0::2].count(0)
    if len(sample) >= 8 and max(zeros_odd, zeros_even) > len(sample) // 4:
        if min(zeros_odd, zeros_even) < len(sample) // 16:
            return "utf-16-le" if zeros_odd > zeros_even else "utf-16-be"
    return "utf-8"


def _split_off_last_line(text: str) -> tuple[str, str]:
    """Keep the unfinished last line for the next block, unless it is longer than a block."""
    cut = text.rfind("\n") + 1
    if cut == 0 and len(text) < 4 * BLOCK_BYTES:
        return "", text
    return (text[:cut], text[cut:]) if cut else (text, "")


def _lines(text: str, number: int) -> tuple[list[str], list[int], int]:
    """Split into lines; a carriage return starts a new line under the same number."""
    text = text.replace("\r\n", "\n")
    ends_line = text.endswith("\n")
    raw = text.split("\n")
    if ends_line:
        raw.pop()
    if "\r" not in text and len(max(raw, key=len)) <= LONGEST_LINE:
        return raw, list(range(number, number + len(raw))), number + len(raw)
    lines: list[str] = []
    numbers: list[int] = []
    for each in raw:
        for piece in _pieces(each):
            lines.append(piece)
            numbers.append(number)
        number += 1
    return lines, numbers, number


def _pieces(line: str) -> Iterator[str]:
    for part in line.split("\r"):
        if len(part) <= LONGEST_LINE:
            yield part
        else:
            for start in range(0, len(part), LONGEST_LINE):
                yield part[start : start + LONGEST_LINE]


def _clean(lines: list[str], numbers: list[int]) -> tuple[list[str], list[int]]:
    """Take off colours and prefixes, straighten quotes, and put messages into English."""
    text = "\n".join(lines)
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    if not text.isascii() or "\0" in text:
        text = text.translate(_QUOTES)
    text = _PREFIXES.sub("", text)
    if "[ ]" in text or "[]" in text:
        text = _UNTICKED.sub("", text)
    text = in_english(text)
    if not text.isascii():
        text = _BESIDE_IDEOGRAPH.sub(" ", text)
    return text.split("\n") if lines else [], numbers


def _block(tail: list[str], tail_numbers: list[int], lines: list[str], numbers: list[int]) -> Block:
    repeated = "\n".join(tail) + "\n" if tail else ""
    text = repeated + "\n".join(lines)
    lowered = text.lower()
    if len(lowered) != len(text):  # a few letters change length in lower case
        lowered = "".join(char.lower() if char.isascii() else char for char in text)
    return Block(text, lowered, (*tail_numbers, *numbers), len(repeated))
