"""The chat templates of some forty real models, as shipped beside TRL: read, not imported."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest

from runner.data.faults import RowFault
from runner.data.mask import Marker
from runner.data.sample import Chat
from runner.data.template import ChatTemplate
from tests.runner.data.chats import chat

SPEC = importlib.util.find_spec("trl")
FOLDER = Path(SPEC.origin or "").parent / "chat_templates" if SPEC else Path("/nonexistent")
NAMES = sorted(path.stem for path in FOLDER.glob("*.jinja"))
# These want content as a list of parts; a string is refused by them or lost.
WANT_PARTS = ("idefics3", "llava_next", "smolvlm")
TOKEN = re.compile(
    r"<[|\uff5c][^<>|\uff5c\s'+]+[|\uff5c]>|</?[a-z]+_of_[a-z]+>|<turn\|>|<\|turn>|</s>"
)
VARIABLES = {"bos_token": "<s>", "eos_token": "</s>"}

CHATS = {
    "two turns": chat("u:QUESTION one", "a:First answer.", "u:QUESTION two", "a:Second\n\nanswer."),
    "reasoning": chat(
        "u:QUESTION one",
        "a:<think>\nthought\n</think>\n\nFirst answer.",
        "u:QUESTION two",
        "a:<think>\nthought\n</think>\n\nSecond\n\nanswer.",
    ),
    "one word": chat("u:end", "a:end", "u:a", "a:a"),
}


@cache
def marker_for(name: str) -> Marker:
    source = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
    tokens = sorted({*TOKEN.findall(source), "</s>"}, key=len, reverse=True)
    return Marker(ChatTemplate(source, VARIABLES, name), tokens, "</s>", "assistant")


@pytest.mark.parametrize("case", ["two turns", "reasoning"])
@pytest.mark.parametrize("name", NAMES)
def test_answers_alone_are_supervised(name: str, case: str) -> None:
    """Each answer is learnt, no question and no system text is; or the row is refused."""
    try:
        marked = marker_for(name).mark_chat(Chat(CHATS[case]))
    except RowFault as fault:
        assert fault.kind in ("data-mask", "data-template", "data-lost-turn")
        assert name.startswith(WANT_PARTS) or (name, case) == ("qwen3_5_nothink", "reasoning")
        return
    learnt = "".join(marked.text[start:end] for start, end in marked.spans)
    assert learnt.count("First answer.") == learnt.count("Second\n\nanswer.") == 1
    assert "QUESTION" not in learnt and "system" not in learnt
    assert TOKEN.findall(learnt), "the last answer ends with a stop token"


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("_training")])
def test_short_answers_are_not_found_inside_special_tokens(name: str) -> None:
    """`end` and `a` stand in many special tokens; only the answers are learnt."""
    if name.startswith(WANT_PARTS):
        with pytest.raises(RowFault):
            marker_for(name).mark_chat(Chat(CHATS["one word"]))
        return
    marked = marker_for(name).mark_chat(Chat(CHATS["one word"]))
    words = [TOKEN.sub("", marked.text[start:end]).strip() for start, end in marked.spans]
    first, second = (word for word in words if word)
    assert first.endswith("end") and second.endswith("a")
