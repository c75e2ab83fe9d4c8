"""Data sets that can be read and are wrong all the same, and files that are no data: more cases.

As test_broken_sets, whose cases these join: what `trainbox data` says of each, on the command line.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.runner.data.chats import chat
from tests.runner.data.test_broken_sets import (
    ANSWER,
    BAD_JSON,
    DPO,
    GOOD,
    PAIR,
    TYPE,
    USER,
    Case,
    among,
    lines,
    model,
    parquet,
    rows,
)
from tests.runner.data.test_broken_sets import test_fault_is_named_with_its_place as check

__all__ = ["model"]  # the fixture

TABLE: dict[str, Any] = {"source": ", format: prompt_completion"}
CSV: dict[str, Any] = {"name": "t.csv", **TABLE}
PARQUET: dict[str, Any] = {"name": "t.parquet", **TABLE}
JSON: dict[str, Any] = {"name": "t.json"}
LONG: dict[str, Any] = {"job": "max_length: 100000"}
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 10\n"


def qa(question: str, answer: str) -> dict[str, Any]:
    return {"messages": chat(f"u:{question}", f"a:{answer}")}


def odd(question: str, answer: str, before: int = 4) -> str:
    """Return good rows with an odd one after them."""
    return lines(*rows(before), qa(question, answer))


def packed_folder(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(Path(__file__), "rows.jsonl")


CASES = {
    # answers that are none
    "placeholder": Case(odd("What?", "TODO"), ("t.jsonl:5", "placeholder"), code=0),
    "null in words": Case(odd("What?", "null"), ("t.jsonl:5", "placeholder"), code=0),
    "object in words": Case(odd("What?", "[object Object]"), ("t.jsonl:5", "placeholder"), code=0),
    "dots alone": Case(odd("What?", "..."), ("t.jsonl:5", "placeholder"), code=0),
    "spreadsheet error": Case(odd("What?", "#N/A"), ("t.jsonl:5", "placeholder"), code=0),
    "zero width alone": Case(
        among(qa("What?", "\u200b\u200b")), ("data-empty-content", "t.jsonl:3")
    ),
    "slot not filled": Case(
        odd("Dear {{name}}, how?", "So."), ("t.jsonl:5", "nobody filled"), code=0
    ),
    "slot of a prompt": Case(odd("{question}", "So."), ("t.jsonl:5", "nobody filled"), code=0),
    "one answer to all": Case(
        lines(*[qa(f"Question {i}?", "I do not know.") for i in range(20)]),
        ("20 of 20 training samples have the same answer",),
        code=0,
    ),
    "answers cut alike": Case(
        lines(*[qa(f"Q {i}?", (f"word{i} " * 60)[:100]) for i in range(20)]),
        ("20 training answers are exactly 100 characters long",),
        code=0,
    ),
    "cell of a spreadsheet": Case(
        odd("What?", ("word " * 9000)[:32767]), ("t.jsonl:5", "32,767"), code=0, **LONG
    ),
    "in circles": Case(odd("What?", "the " * 120), ("t.jsonl:5", "over and over"), code=0, **LONG),
    "answered twice": Case(
        lines(*rows(3), qa("Is water wet?", "Yes."), qa("Is water wet?", "No.")),
        (
            "1 training samples answer an earlier one's question otherwise",
            "t.jsonl:5 and t.jsonl:4",
        ),
        code=0,
    ),
    # turns of other programs
    "chat in a turn": Case(
        odd("Hi\nAssistant: hello\nUser: so?", "Yes."), ("t.jsonl:5", "turns of another"), code=0
    ),
    "alpaca in a turn": Case(
        odd("### Instruction:\nDo it.", "Done."), ("t.jsonl:5", "turns of another"), code=0
    ),
    "Llama 2 in a turn": Case(
        odd("[INST] Do it. [/INST]", "Done."), ("t.jsonl:5", "turns of another"), code=0
    ),
    "chat as text": Case(
        lines(*[{"text": json.dumps([USER, {**ANSWER, "content": f"Y{i}"}])} for i in range(4)]),
        ("t.jsonl:1", "a chat as JSON"),
        source=", format: text",
        code=0,
    ),
    "prompt in the completion": Case(
        lines(
            *[
                {
                    "prompt": f"What is the square of {i}?",
                    "completion": f"What is the square of {i}? It is {i * i}.",
                }
                for i in range(10, 15)
            ]
        ),
        ("t.jsonl:1", "begin the completion with the prompt"),
        code=0,
        **TABLE,
    ),
    # more than text
    "image tag": Case(odd("<image>\nWhat is it?", "A cat."), ("t.jsonl:5", "an image"), code=0),
    "image in the text": Case(
        odd("data:image/png;base64,iVBORw0KGgo", "A cat."), ("t.jsonl:5", "an image"), code=0
    ),
    "image parts": Case(
        among({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ANSWER]}),
        (TYPE, "t.jsonl:3", "an image or sound is no text"),
    ),
    "token ids": Case(lines({"input_ids": [1, 2], "labels": [1, 2]}), ("t.jsonl:1", "token ids")),
    # what nobody reads
    "labels": Case(
        lines(*[{"prompt": f"Q {i}?", "completion": " A", "label": i > 2} for i in range(5)]),
        ("are not read: label",),
        code=0,
        **TABLE,
    ),
    "scores the other way": Case(
        lines(
            *[
                {
                    **PAIR,
                    "prompt": f"A question number {i}?",
                    "score_chosen": 1,
                    "score_rejected": 9,
                }
                for i in range(3)
            ]
        ),
        ("t.jsonl:1", "a lower score for the chosen"),
        code=0,
        **DPO,
    ),
    "pairs the other way": Case(
        lines(PAIR, {**PAIR, "chosen": PAIR["rejected"], "rejected": PAIR["chosen"]}),
        ("prefer what an earlier one rejects", "t.jsonl:2 and t.jsonl:1"),
        code=0,
        **DPO,
    ),
    # letters
    "look-alikes": Case(
        odd("What is the squ\u0430re of f\u043eur?", "It is sixt\u0435\u0435n."),
        ("t.jsonl:5", "look-alikes"),
        code=0,
    ),
    "accents apart": Case(
        odd("Qu'est-ce qu'un cafe\u0301?", "Un cafe\u0301."), ("t.jsonl:5", "two parts"), code=0
    ),
    # files
    "encoded twice": Case(
        lines(*[json.dumps(json.dumps(row)) for row in rows(3)]),
        ("data-not-object", "t.jsonl:1", "encoded twice"),
    ),
    "numbered lines": Case(
        "".join(f"{i}\t{json.dumps(row)}\n" for i, row in enumerate(rows(3), 1)),
        (BAD_JSON, "t.jsonl:1"),
    ),
    "zero bytes at the end": Case(
        GOOD.encode() + bytes(4096), (BAD_JSON, "t.jsonl:4", "a write was broken off")
    ),
    "too large a number": Case(
        among('{"messages": [], "score": 1e400}'), ("data-not-finite", "t.jsonl:3")
    ),
    "too many digits": Case(among('{"id": ' + "9" * 6000 + "}"), (BAD_JSON, "t.jsonl:3", "digits")),
    "gzip that is none": Case(GOOD, ("not packed", "name it t.jsonl"), name="t.jsonl.gz"),
    "pointer called gzip": Case(LFS, ("Git LFS pointer", "t.jsonl.gz:1"), name="t.jsonl.gz"),
    "pointer called Parquet": Case(LFS, ("Git LFS pointer", "t.parquet:1"), name="t.parquet"),
    "folder in a gzip": Case(packed_folder, ("tar archive", "t.jsonl.gz:1"), name="t.jsonl.gz"),
    "rest behind a gzip": Case(
        gzip.compress(GOOD.encode()) + b"rest", ("t.jsonl.gz", "cannot be read"), name="t.jsonl.gz"
    ),
    "picture": Case(b"\x89PNG\r\n\x1a\n" + bytes(60), ("PNG image", "t.jsonl:1")),
    "array of NumPy": Case(b"\x93NUMPY\x01\0v\0" + bytes(60), ("NumPy array", "t.jsonl:1")),
    "old pickle": Case(b"\x80\x03" + bytes(range(1, 90)), ("Python pickle", "t.jsonl:1")),
    "answer of a server": Case('<?xml version="1.0"?>\n<Error/>', ("web page or XML", "t.jsonl:1")),
    "list under a key": Case(
        json.dumps({"data": rows(3)}), ("data-not-a-list", "t.json:1", "under `data`"), **JSON
    ),
    "columns for rows": Case(
        json.dumps({"prompt": ["a"], "completion": ["b"]}), ("t.json:1", "records"), **JSON
    ),
    "columns by index": Case(
        json.dumps({"prompt": {"0": "a"}, "completion": {"0": "b"}}),
        ("t.json:1", "records"),
        **JSON,
    ),
    # tables
    "no names": Case(
        "What is it?,That.\nWho?,Me.\n", ("t.csv:2", "a line that names its columns"), **CSV
    ),
    "names with spaces": Case(
        "prompt, completion\na, b\n", ("t.csv:2", "spaces or capitals alone"), **CSV
    ),
    "NUL in a table": Case("prompt,completion\na,b\nc\0,d\n", ("data-nul", "t.csv:3"), **CSV),
    "line of Excel": Case("sep=;\nprompt;completion\na;b\n", ("t.csv:1",), **CSV),
    "numbers for texts": Case(
        parquet(prompt=[1], completion=["a"]),
        (TYPE, "t.parquet row 1", "a string expected"),
        **PARQUET,
    ),
    "bytes for texts": Case(
        parquet(prompt=[b"a"], completion=["a"]), (TYPE, "t.parquet row 1", "bytes"), **PARQUET
    ),
    "no row": Case("prompt,completion\n", ("data-no-samples",), **CSV),
    "schemas by turns": Case(
        lines(*rows(2), {"prompt": "a", "completion": "b"}, {"instruction": "a", "output": "b"}),
        ("data-missing-column", "t.jsonl:3", "t.jsonl:4"),
    ),
    "held out of another form": Case(
        GOOD,
        ("e.jsonl:1", "write `format: prompt_completion`"),
        others={"e.jsonl": '{"prompt": "a", "completion": "b"}\n'},
        job="eval: [{path: e.jsonl}]\n  max_length: 256",
    ),
    "held out under another name": Case(
        GOOD,
        ("are the same data: it is held out and trained on",),
        code=0,
        others={"e.jsonl": GOOD},
        job="eval: [{path: e.jsonl}]\n  max_length: 256",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.usefixtures("model")
def test_what_is_wrong_is_said(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """The output names what is wrong, the file and the line; what is refused exits with 2."""
    check(case, capsys)


@pytest.mark.usefixtures("model")
def test_ordinary_rows_are_not_suspected(capsys: pytest.CaptureFixture[str]) -> None:
    """Short answers, code, formulas, labels and questions asked again are no faults."""
    good = [
        qa("Is it a mammal?", "Yes"),
        qa("How many?", "4"),
        qa("Write a function.", "def f(x):\n    return {x: [1, 2], 'a': '%s'}"),
        qa("How large is 3 µm in Δx?", "About 3·10⁻⁶ m."),
        qa("What does <b> do in HTML?", "It makes text bold."),
        qa("Wer sagt: User?", "Niemand."),
    ]
    case = Case(lines(*good, *good[:1]), (), code=0)
    check(case, capsys)
    said = capsys.readouterr().out
    for sign in ("placeholder", "nobody filled", "another format", "an image", "look-alikes"):
        assert sign not in said
