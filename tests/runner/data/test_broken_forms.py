"""Rows, tables and templates that are nearly right: a third set of broken data, and odd good ones.

As test_broken_sets, whose cases these join: what `trainbox data` says of each, on the command line.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.runner.data.chats import chat
from tests.runner.data.test_broken_contents import CSV, JSON, PARQUET, TABLE
from tests.runner.data.test_broken_sets import (
    ANSWER,
    BAD_JSON,
    DPO,
    EMPTY,
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
    turns,
)
from tests.runner.data.test_broken_sets import test_fault_is_named_with_its_place as check

__all__ = ["model"]  # the fixture

ROLE, MISSING = "data-unknown-role", "data-missing-column"
ALPACA: dict[str, Any] = {"source": ", format: alpaca"}
SHAREGPT: dict[str, Any] = {"source": ", format: sharegpt"}
TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
LOOP = "{% for m in messages %}" + TURN + "{% endfor %}"
ASK = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
SYSTEM = lines(*[turns(*chat("s:Be kind."), *row["messages"]) for row in rows(3)])


def template(text: str, *said: str, content: str = GOOD, code: int = 2) -> Case:
    """Return good rows under a template of the job's own."""
    job = "max_length: 256\n  chat_template: t.jinja"
    return Case(content, said, job=job, code=code, others={"t.jinja": text})


def cut_zstandard(path: Path) -> None:
    import pyarrow

    whole = pyarrow.Codec("zstd").compress(lines(*rows(9000)).encode(), asbytes=True)
    path.write_bytes(whole[:-900])


CASES = {
    # --- files
    "pipe": Case(os.mkfifo, ("t.jsonl", "not a regular file")),
    "mark alone": Case(b"\xef\xbb\xbf", ("t.jsonl", "is empty")),
    "gzip of nothing": Case(gzip.compress(b""), ("is empty",), name="t.jsonl.gz"),
    "web page in a gzip": Case(
        gzip.compress(b"<!DOCTYPE html>\n<html>"), ("web page", "t.jsonl.gz:1"), name="t.jsonl.gz"
    ),
    "fault in a gzip": Case(
        gzip.compress(among("{").encode()), (BAD_JSON, "t.jsonl.gz:3"), name="t.jsonl.gz"
    ),
    "Zstandard cut": Case(cut_zstandard, ("data-unreadable", "t.jsonl.zst:"), name="t.jsonl.zst"),
    "head of a Zstandard": Case(
        b"\x28\xb5\x2f\xfd\x04\x58\x61\x00",
        ("data-unreadable", "`t.jsonl.zst` cannot be read"),
        name="t.jsonl.zst",
    ),
    "Parquet of no bytes": Case("", ("is empty",), name="t.parquet"),
    "Parquet in a gzip": Case(
        gzip.compress(b"PAR1"), ("data-unknown-suffix",), name="t.parquet.gz"
    ),
    "Parquet of no rows": Case(parquet(prompt=[], completion=[]), ("data-no-samples",), **PARQUET),
    "mark at the start": Case("\ufeff" + GOOD, ("byte order mark",), code=0),
    # --- JSON
    "keys without quotes": Case(among("{messages: []}"), (BAD_JSON, "t.jsonl:3", "quotes")),
    "Python True": Case(
        among('{"messages": [], "ok": True}'), (BAD_JSON, "t.jsonl:3", "word JSON")
    ),
    "escape of Python": Case(among('{"text": "\\x41"}'), (BAD_JSON, "t.jsonl:3", "escape")),
    "raw tab": Case(among('{"text": "a\tb"}'), (BAD_JSON, "t.jsonl:3", "control character")),
    "words after the object": Case(
        among(json.dumps(rows(1)[0]) + " end"), (BAD_JSON, "t.jsonl:3", "behind the object")
    ),
    "null line": Case(among("null"), ("data-not-object", "t.jsonl:3")),
    "string line": Case(among('"hello"'), ("data-not-object", "t.jsonl:3")),
    "empty object": Case(among("{}"), (MISSING, "t.jsonl:3")),
    "role twice in a turn": Case(
        among('{"messages": [{"role": "user", "role": "assistant", "content": "a"}]}'),
        ("data-duplicate-key", "t.jsonl:3"),
    ),
    "surrogates in UTF-8": Case(
        among("X").encode().replace(b"X", b'{"text": "\xed\xa0\xbd"}'),
        ("data-not-utf8", "t.jsonl:3"),
    ),
    "other line breaks in a text": Case(
        lines(*[turns(*chat(f"u:What{c}is?", "a:That.")) for c in "\u2028\u2029\x85"], "{"),
        (BAD_JSON, "(1 row)", "t.jsonl:4"),
    ),
    "item of a list that is no object": Case(
        "[\n" + json.dumps(rows(1)[0]) + ",\n5\n]", ("data-not-object", "t.json:3"), **JSON
    ),
    "wrong type in a list": Case(
        "[\n" + json.dumps(rows(1)[0]) + ',\n{"messages": 5}\n]', (TYPE, "t.json:3"), **JSON
    ),
    "two lists": Case("[" + json.dumps(rows(1)[0]) + "]\n[]", (BAD_JSON, "t.json:2"), **JSON),
    "list two keys down": Case(
        json.dumps({"train": {"rows": rows(2)}}), ("t.json:1", "list under `rows`"), **JSON
    ),
    "empty list": Case("[]", ("data-no-samples", "write rows into it"), **JSON),
    # --- turns
    "turns by number": Case(
        among({"messages": {"0": USER, "1": ANSWER}}), (TYPE, "t.jsonl:3", "messages")
    ),
    "turns as strings": Case(
        among({"messages": ["Hello", "Yes."]}), (TYPE, "t.jsonl:3  messages[0]")
    ),
    "turn null": Case(among(turns(USER, None)), (TYPE, "t.jsonl:3  messages[1]")),
    "role a number": Case(
        among(turns({"role": 1, "content": "a"}, ANSWER)), ("t.jsonl:3  messages[0].role",)
    ),
    "content missing": Case(
        among(turns(USER, {"role": "assistant"})), (MISSING, "t.jsonl:3  messages[1]")
    ),
    "content an object": Case(
        among(turns(USER, {"role": "assistant", "content": {"text": "a"}})),
        (TYPE, "t.jsonl:3  messages[1].content"),
    ),
    "content a boolean": Case(
        among(turns(USER, {"role": "assistant", "content": True})), (TYPE, "t.jsonl:3", "boolean")
    ),
    "function call of old": Case(
        among(turns(USER, {"role": "assistant", "content": "a", "function_call": {"name": "f"}})),
        ("data-tools", "t.jsonl:3"),
    ),
    "developer": Case(
        among(turns({"role": "developer", "content": "Be kind."}, USER, ANSWER)),
        (ROLE, "t.jsonl:3", "write `system` for `developer`"),
    ),
    "role with a space": Case(
        among(turns({"role": "user ", "content": "a"}, ANSWER)), (ROLE, "t.jsonl:3")
    ),
    "weights of turns": Case(
        lines(*[turns(USER, {**ANSWER, "content": f"Yes {i}.", "weight": 0}) for i in range(4)]),
        ("t.jsonl:1", "weight"),
        code=0,
    ),
    "thoughts beside the answer": Case(
        lines(
            *[
                turns(USER, {**ANSWER, "content": f"Yes {i}.", "reasoning_content": "Hm."})
                for i in range(4)
            ]
        ),
        ("t.jsonl:1", "reasoning_content"),
        code=0,
    ),
    "capital letter in a column": Case(
        lines(*[{"Messages": row["messages"]} for row in rows(3)]),
        (MISSING, "(3 rows)", "t.jsonl:1", "columns: {messages: Messages}"),
    ),
    "smuggled letters": Case(
        among(turns(USER, *chat("a:Yes\U000e0041\U000e0042"))),
        ("invisible", "t.jsonl:3"),
        code=0,
    ),
    # --- other formats
    "instruction of null": Case(
        lines({"instruction": None, "output": "b"}), (TYPE, "t.jsonl:1  instruction"), **ALPACA
    ),
    "output a list": Case(
        lines({"instruction": "a", "output": ["b"]}), (TYPE, "t.jsonl:1  output"), **ALPACA
    ),
    "answer of nobody": Case(
        lines({"conversations": [{"from": "bing", "value": "a"}, {"from": "gpt", "value": "b"}]}),
        (ROLE, "t.jsonl:1"),
        **SHAREGPT,
    ),
    "value missing": Case(
        lines({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt"}]}),
        (MISSING, "t.jsonl:1  conversations[1]"),
        **SHAREGPT,
    ),
    "list for a text": Case(
        lines({"text": ["a", "b"]}), (TYPE, "t.jsonl:1  text"), source=", format: text"
    ),
    "empty prompt": Case(
        lines({"prompt": "", "completion": "b"}), (EMPTY, "t.jsonl:1  prompt"), **TABLE
    ),
    # --- pairs
    "chats in a job of pairs": Case(
        GOOD, ("(3 rows)", "t.jsonl:1", "write `format: messages`", "stage: sft"), **DPO
    ),
    "likes without a pair": Case(
        lines({"prompt": "a", "completion": "b", "label": True}), (MISSING, "t.jsonl:1"), **DPO
    ),
    "rejected of spaces": Case(
        lines(PAIR, {**PAIR, "rejected": " \n"}), (EMPTY, "t.jsonl:2  rejected"), **DPO
    ),
    "pair equal but for a space": Case(
        lines(PAIR, {**PAIR, "rejected": PAIR["chosen"] + " "}),
        ("data-same-pair", "t.jsonl:2"),
        **DPO,
    ),
    "answers to two questions": Case(
        lines({"chosen": chat("u:A?", "a:b"), "rejected": chat("u:B?", "a:c")}),
        (MISSING, "t.jsonl:1  no `prompt`", "add `prompt`"),
        **DPO,
    ),
    # --- tables
    "tabs in a csv": Case(
        "prompt\tcompletion\na\tb\n", ("data-csv-delimiter", "t.csv:1", "tabs"), **CSV
    ),
    "commas in a tsv": Case(
        "prompt,completion\na,b\n", ("data-csv-delimiter", "t.tsv:1"), name="t.tsv", **TABLE
    ),
    "line breaks in quotes": Case(
        'prompt,completion\n"a\nb\nc",d\ne\n', ("data-csv-width", "t.csv:5"), **CSV
    ),
    "comma in an answer": Case(
        "prompt,completion\na,b\nc,d, e\n", ("data-csv-width", "t.csv:3"), **CSV
    ),
    "capital letters in a table": Case(
        "Prompt,Completion\na,b\n",
        (MISSING, "t.csv:2", "columns: {prompt: Prompt, completion: Completion}"),
        **CSV,
    ),
    "line ends of old Macs in a table": Case(
        "prompt,completion\ra,b\r", ("data-bad-csv", "t.csv:1", "CR alone"), **CSV
    ),
    "quote within a quote": Case(
        'prompt,completion\n"a"b,c\n', ("data-bad-csv", "t.csv:2", 'as ""'), **CSV
    ),
    "chat in a cell": Case(
        'messages\n"[{""role"": ""user"", ""content"": ""a""}]"\n',
        ("t.csv:2", "json"),
        name="t.csv",
    ),
    "UTF-16 table": Case("prompt,completion\na,b\n".encode("utf-16"), ("UTF-16", "t.csv:1"), **CSV),
    "null in a turn of Parquet": Case(
        parquet(messages=[[USER, ANSWER], [USER, {"role": "assistant", "content": None}]]),
        (TYPE, "t.parquet row 2"),
        name="t.parquet",
    ),
    # --- the other split
    "held out is empty": Case(
        GOOD,
        ("e.jsonl", "is empty"),
        others={"e.jsonl": ""},
        job="eval: [{path: e.jsonl}]\n  max_length: 256",
    ),
    "fault in what is held out": Case(
        GOOD,
        (BAD_JSON, "e.jsonl:3"),
        others={"e.jsonl": among("{")},
        job="eval: [{path: e.jsonl}]\n  max_length: 256",
    ),
    "held out in capitals": Case(
        GOOD,
        ("held-out", "e.jsonl:1 and t.jsonl:1"),
        others={"e.jsonl": lines(*rows(1)).replace("What is", "WHAT IS")},
        job="eval: [{path: e.jsonl}]\n  max_length: 256",
        code=0,
    ),
    "question that is trained on": Case(
        GOOD,
        ("1 of 1 held-out samples ask a question of the training data", "e.jsonl:1 and t.jsonl:2"),
        others={"e.jsonl": lines(turns(*chat("u:What is the square of 1?", "a:One, of course.")))},
        job="eval: [{path: e.jsonl}]\n  max_length: 256",
        code=0,
    ),
    # --- templates
    "template without system": template(
        "{% for m in messages if m.role != 'system' %}" + TURN + "{% endfor %}" + ASK,
        "t.jsonl:1",
        "system",
        content=SYSTEM,
        code=0,
    ),
    "template of no turns": template("Hello", "data-lost-turn", "t.jsonl:1"),
    "template of the last turn": template(
        "{% for m in messages[-1:] %}" + TURN + "{% endfor %}" + ASK, "t.jsonl:1", code=0
    ),
    "template in capitals": template(
        LOOP.replace("m.content", "m.content | upper") + ASK, "data-lost-turn", "t.jsonl:1"
    ),
    "template with a slip": template(LOOP.replace("endfor", "endfro"), "t.jinja:3"),
    "template with an unknown filter": template(
        LOOP.replace("m.content", "m.content | shout") + ASK, "t.jinja"
    ),
    "template without end": template(
        "{% for i in range(10**9) %}x{% endfor %}" + LOOP, "data-template", "t.jsonl:1"
    ),
    "template of nothing": template("", "t.jinja"),
    "template without a generation prompt": template(LOOP, "generation prompt", code=0),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.usefixtures("model")
def test_what_is_nearly_right_is_named(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """The output names what is wrong, the file and the line; what is refused exits with 2."""
    check(case, capsys)


GOOD_SETS = {
    "input of null": Case(
        lines({"instruction": "Add one.", "input": None, "output": "Done."}), (), code=0, **ALPACA
    ),
    "deep in what is not read": Case(
        among({**rows(1)[0], "meta": json.loads("[" * 200 + "]" * 200)}), ("t.jsonl",), code=0
    ),
    "a chat before a string": Case(
        lines({"prompt": [USER], "completion": "b"}), (), code=0, **TABLE
    ),
    "index of pandas": Case(",prompt,completion\n0,a,b\n1,c,d\n", (), code=0, **CSV),
    "quoted line breaks": Case('prompt,completion\n"a\nb","c\r\nd"\n', (), code=0, **CSV),
    "marked table": Case("\ufeffprompt,completion\na,b\n", ("byte order mark",), code=0, **CSV),
    "Arabic, emoji and joiners": Case(
        lines(turns(*chat("u:ما هي الحمى؟ \U0001f469\u200d\u2695\ufe0f", "a:ارتفاع الحرارة."))),
        (),
        code=0,
    ),
}


@pytest.mark.parametrize("case", GOOD_SETS.values(), ids=GOOD_SETS)
@pytest.mark.usefixtures("model")
def test_odd_rows_that_are_right_are_read(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """What is unusual and right is neither refused nor called a fault."""
    check(case, capsys)
