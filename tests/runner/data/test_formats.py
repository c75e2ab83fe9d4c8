"""Each format becomes what it says; a row that is not of its format is named by field."""

from __future__ import annotations

from typing import Any

import pytest

from runner.data.faults import RowFault
from runner.data.formats import Converter
from runner.data.sample import Chat, Pair, Sample, Text
from runner.spec import Format
from tests.runner.data.chats import chat

HELLO = chat("u:Hello", "a:Yes.")


def convert(
    format: Format, row: dict[str, Any], columns: dict[str, str] | None = None, **options: bool
) -> Sample:
    return Converter(format, columns, **{"has_template": True, **options})(row)


def fault(format: Format, row: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(RowFault) as caught:
        convert(format, row)
    return caught.value.kind, caught.value.detail


def test_messages_are_taken_as_they_are() -> None:
    """A list of role and content is a conversation."""
    assert convert("messages", {"messages": HELLO}) == Chat(HELLO)


def test_columns_and_keys_of_messages_can_be_mapped() -> None:
    """columns maps the expected names, those inside a message too."""
    row = {"dialogue": [{"who": "user", "says": "Hello"}, {"who": "assistant", "says": "Yes."}]}
    columns = {"messages": "dialogue", "role": "who", "content": "says"}
    assert convert("messages", row, columns) == Chat(HELLO)


def test_sharegpt_names_become_roles() -> None:
    """human and gpt are user and assistant; a system column comes first."""
    row = {
        "system": "Be kind.",
        "conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Yes."}],
    }
    assert convert("sharegpt", row) == Chat(chat("s:Be kind.", *["u:Hello", "a:Yes."]))


def test_prompt_and_completion_of_strings_are_plain_text() -> None:
    """Strings get no chat template, as in TRL."""
    row = {"prompt": "One", "completion": " two"}
    assert convert("prompt_completion", row) == Text("One", " two")


def test_prompt_and_completion_of_messages_are_a_chat_with_context() -> None:
    """The turns of the prompt are context."""
    row = {"prompt": chat("u:Hello"), "completion": chat("a:Yes.")}
    assert convert("prompt_completion", row) == Chat(HELLO, num_context=1)


def test_alpaca_becomes_a_chat() -> None:
    """instruction and input are the question, output the answer; system and history come first."""
    row = {
        "instruction": "Add.",
        "input": "1 and 1",
        "output": "2",
        "system": "Be exact.",
        "history": [["Hello", "Yes."]],
    }
    expected = chat("s:Be exact.", "u:Hello", "a:Yes.", "u:Add.\n\n1 and 1", "a:2")
    assert convert("alpaca", row) == Chat(expected)


@pytest.mark.parametrize("more", ["", None, "1 and 1"])
def test_alpaca_without_template_is_the_classic_prompt(more: str | None) -> None:
    """A model without chat template gets the text of the Alpaca release."""
    row = {"instruction": "Add.", "input": more, "output": "2"}
    text = convert("alpaca", row, has_template=False)
    assert isinstance(text, Text)
    assert ("### Input:\n1 and 1\n\n" in text.prompt) == bool(more)
    assert text.prompt.endswith("### Response:") and text.completion == "2"


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": chat("u:Hello"), "chosen": chat("a:Yes."), "rejected": chat("a:No.")},
        {"prompt": "Hello", "chosen": HELLO, "rejected": chat("u:Hello", "a:No.")},
        {"chosen": HELLO, "rejected": chat("u:Hello", "a:No.")},
        {"prompt": chat("u:Hello"), "chosen": "Yes.", "rejected": "No."},
        {"prompt": "Hello", "chosen": chat("a:Yes."), "rejected": chat("a:No.")},
    ],
)
def test_preference_of_messages_has_its_prompt_apart(row: dict[str, Any]) -> None:
    """The prompt is given, or it is the turns that both answers share."""
    assert convert("preference", row) == Pair(chat("u:Hello"), chat("a:Yes."), chat("a:No."))


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "One is", "chosen": " two", "rejected": " nine"},
        {"chosen": "One is two", "rejected": "One is nine"},
    ],
)
def test_preference_of_strings_has_its_prompt_apart(row: dict[str, Any]) -> None:
    """The space before the answers belongs to them; what else they share does not."""
    assert convert("preference", row) == Pair("One is", " two", " nine")


NO_TEXT: list[tuple[Any, str]] = [
    ("", "data-empty-content"),
    (" \n\t", "data-empty-content"),
    (None, "data-wrong-type"),
    (7, "data-wrong-type"),
    (["a"], "data-wrong-type"),
    ("a\0b", "data-nul"),
    ("\ud800", "data-lone-surrogate"),
]


@pytest.mark.parametrize(("value", "kind"), NO_TEXT)
def test_content_that_is_no_text_is_named_by_field(value: Any, kind: str) -> None:
    """Empty, missing, wrong type, NUL, half a surrogate pair: the field is named."""
    found, detail = fault("messages", {"messages": [{"role": "user", "content": value}, HELLO[1]]})
    assert found == kind
    assert detail.startswith("messages[0].content")


@pytest.mark.parametrize(
    ("format", "row", "kind", "detail"),
    [
        ("messages", {"mesages": HELLO}, "data-missing-column", "nearest is `mesages`"),
        ("messages", {"messages": "Hello"}, "data-wrong-type", "messages is a string"),
        ("messages", {"messages": []}, "data-empty-content", "messages is an empty list"),
        ("messages", {"messages": ["Hello"]}, "data-wrong-type", "messages[0] is a string"),
        ("messages", {"messages": [{"role": "user"}]}, "data-missing-column", "no `content`"),
        ("messages", {"messages": [{"role": "bot", "content": "a"}]}, "data-unknown-role", "`bot`"),
        ("messages", {"messages": [{"role": 1, "content": "a"}]}, "data-unknown-role", ".role"),
        ("messages", {"messages": chat("u:Hello")}, "data-no-assistant", ""),
        ("messages", {"messages": HELLO, "tools": [{}]}, "data-tools", "`tools`"),
        ("alpaca", {"instruction": "a", "input": ""}, "data-missing-column", "no `output`"),
        ("alpaca", {"instruction": "a", "output": "b", "history": "c"}, "data-wrong-type", ""),
        ("prompt_completion", {"prompt": "a", "completion": ""}, "data-empty-content", ""),
        ("preference", {"chosen": "a", "rejected": "a"}, "data-same-pair", ""),
        ("preference", {"chosen": HELLO, "rejected": HELLO}, "data-no-assistant", ""),
        ("text", {"content": "a"}, "data-missing-column", "no `text`"),
    ],
)
def test_row_that_is_not_of_its_format_is_a_fault(
    format: Format, row: dict[str, Any], kind: str, detail: str
) -> None:
    """Each fault has its kind, and says which field."""
    found, said = fault(format, row)
    assert found == kind
    assert detail in said


def test_long_role_or_column_is_not_shown() -> None:
    """What might be text of a sample (a file without header) does not reach an error."""
    words = "The planted sentence of this sample"
    assert words not in fault("text", {words: "a"})[1]
    assert words not in fault("messages", {"messages": [{"role": words, "content": "a"}]})[1]


def test_keys_that_no_text_is_made_of_are_counted() -> None:
    """Further keys of a message are left out, and counted."""
    converter = Converter("messages", None, has_template=True)
    converter({"messages": [{**HELLO[0], "name": "Ann"}, {**HELLO[1], "weight": None}]})
    assert converter.ignored_keys == {"name": 1}
