"""What carries loss is what the model has to write itself, and its stop token."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runner.data.faults import RowFault
from runner.data.mask import LossOn, Marked, Marker
from runner.data.sample import Chat, Text
from runner.data.template import ChatTemplate
from runner.errors import TrainboxError
from tests.runner.data.chats import CHATS, chat
from tests.runner.data.conftest import Workshop
from tests.runner.data.folders import SPECIAL_TOKENS, TEMPLATES


def marker_for(template: str, loss_on: LossOn = "assistant") -> Marker:
    bos, eos, more = SPECIAL_TOKENS[template]
    variables = {"bos_token": bos or "", "eos_token": eos}
    source = (TEMPLATES / f"{template}.jinja").read_text()
    tokens = {token for token in (bos, eos, *more) if token}
    return Marker(
        ChatTemplate(source, variables, template),
        sorted(tokens, key=len, reverse=True),
        eos,
        loss_on,
    )


def mark(template: str, name: str, loss_on: LossOn = "assistant") -> Marked:
    return marker_for(template, loss_on).mark_chat(Chat(CHATS[name]))


def supervised(marked: Marked) -> list[str]:
    return [marked.text[start:end] for start, end in marked.spans]


# What each template's answers to "two turns" are learnt as: Hello there. / Well.\nAnd you?
TWO_TURNS = {
    "chatml": ["Hello there.<|im_end|>", "Well.\nAnd you?<|im_end|>"],
    "marked": ["Hello there.<|im_end|>", "Well.\nAnd you?<|im_end|>"],
    "headerless": ["Hello there.<|im_end|>", "Well.\nAnd you?<|im_end|>"],
    "llama3": ["Hello there.<|eot_id|>", "Well.\nAnd you?<|eot_id|>"],
    "phi4": ["Hello there.<|end|>", "Well.\nAnd you?<|end|><|endoftext|>"],
    "gemma": ["Hello there.<end_of_turn>", "Well.\nAnd you?<end_of_turn>"],
    "inst": [" Hello there. </s>", " Well.\nAnd you? </s>"],
    "zephyr": ["Hello there.</s>", "Well.\nAnd you?</s>"],
    "nostop": [" Hello there.", " Well.\nAnd you?", "\n</s>"],
    "qwen3": ["Hello there.<|im_end|>", "<think>\n\n</think>\n\nWell.\nAnd you?<|im_end|>"],
}


@pytest.mark.parametrize("template", TWO_TURNS)
def test_every_answer_and_its_stop_token_are_supervised_and_nothing_else(template: str) -> None:
    """No role header, no line break after the stop token, no words of the user."""
    assert supervised(mark(template, "two turns")) == TWO_TURNS[template]


def test_completion_supervises_the_last_answer_alone() -> None:
    """loss_on completion leaves the answers before the last one out."""
    assert supervised(mark("chatml", "two turns", "completion")) == ["Well.\nAnd you?<|im_end|>"]


def test_answer_that_the_template_swallows_is_refused_without_mask_too() -> None:
    """loss_on all, and a pair, notice that the answer is not in the text."""
    with pytest.raises(RowFault) as caught:
        mark("parts", "two turns", "all")
    assert (caught.value.kind, caught.value.detail) == ("data-lost-turn", "turn 2 of 4")


def test_mark_that_does_not_hold_the_answer_is_not_believed() -> None:
    """A template whose generation block lost the answer is refused."""
    source = "{% for m in messages %}{{ m.role }}{% generation %}x{% endgeneration %}{% endfor %}"
    marker = Marker(ChatTemplate(source, {}, "lost"), ["</s>"], "</s>", "assistant")
    with pytest.raises(RowFault):
        marker.mark_chat(Chat(CHATS["single"]))


@pytest.mark.parametrize("template", ["chatml", "marked", "nostop"])
def test_all_supervises_the_whole_text(template: str) -> None:
    """loss_on all leaves nothing out."""
    marked = mark(template, "two turns", "all")
    assert marked.whole and supervised(marked) == [marked.text]


def test_context_is_never_supervised() -> None:
    """The answers inside the prompt of a prompt_completion row are not learnt."""
    marked = marker_for("chatml").mark_chat(Chat(CHATS["two turns"], num_context=3))
    assert supervised(marked) == ["Well.\nAnd you?<|im_end|>"]


@pytest.mark.parametrize("template", ["llama3", "gemma", "inst"])
def test_trimmed_answers_are_found(template: str) -> None:
    """Templates that strip white space from a content are not mistaken for others."""
    texts = [text.strip(" ") for text in supervised(mark(template, "white space"))]
    assert [
        text.removesuffix(SPECIAL_TOKENS[template][1]).split("<")[0].strip() for text in texts
    ] == ["Yes", "- one"]


def test_equal_questions_and_answers_are_told_apart() -> None:
    """Four turns of the same word: the second and the fourth are the answers."""
    marked = mark("chatml", "same words")
    assert supervised(marked) == ["a<|im_end|>", "a<|im_end|>"]
    assert [marked.text[:start].count("user\n") for start, _ in marked.spans] == [1, 2]


def test_reasoning_that_the_template_drops_is_counted() -> None:
    """An earlier turn is learnt as rendered, without its reasoning; the report says so."""
    marked = mark("qwen3", "reasoning")
    assert supervised(marked) == ["Yes.<|im_end|>", "<think>\nwell\n</think>\n\nNo.<|im_end|>"]
    assert marked.num_altered == 1


def test_the_words_of_a_stop_token_in_a_question_change_nothing() -> None:
    """A user who writes the stop token does not end the answer."""
    assert supervised(mark("chatml", "names a token")) == ["A token.<|im_end|>"]


def test_conversation_that_ends_with_a_question_gets_no_stop_after_it() -> None:
    """EOS is appended to answers only."""
    marked = mark("nostop", "open end")
    assert not marked.has_added_eos
    assert supervised(marked) == [" Yes."]


def test_missing_stop_token_is_added_and_counted() -> None:
    """A template without stop token: EOS ends the sample and is supervised."""
    marked = mark("nostop", "single")
    assert marked.has_added_eos
    assert marked.text.endswith("usual range.\n</s>")


def test_answer_that_the_template_swallows_is_refused() -> None:
    """Where an answer is nowhere in the text, the row is refused rather than guessed at."""
    with pytest.raises(RowFault) as caught:
        mark("parts", "same words")
    assert caught.value.kind == "data-mask"


def test_template_that_prints_its_answers_twice_is_refused() -> None:
    """Two places for one answer are one too many."""
    source = "{% for m in messages %}{{ m.role + m.content + m.content }}{% endfor %}"
    marker = Marker(ChatTemplate(source, {}, "twice"), ["</s>"], "</s>", "assistant")
    with pytest.raises(RowFault):
        marker.mark_chat(Chat(CHATS["single"]))


@pytest.mark.parametrize("template", ["chatml", "llama3", "zephyr", "gemma", "inst", "phi4"])
@pytest.mark.parametrize("name", ["single", "two turns", "not ASCII", "white space"])
def test_ways_of_finding_turns_agree(template: str, name: str) -> None:
    """The quick way (one shape a role order) and the slow one (turn by turn) find the same."""
    marker, messages = marker_for(template), CHATS[name]
    assert marker.template is not None
    text = marker.template.render(messages)
    slow = [marker.turns._by_turn(text, messages, i) for i in range(len(messages)) if i % 2]
    assert marker.turns.find(text, messages) == slow


def test_prompt_of_a_text_is_not_supervised() -> None:
    """Of prompt and completion the completion and one EOS are learnt."""
    marked = marker_for("chatml").mark_text(Text("One and one is", " two"))
    assert supervised(marked) == [" two<|im_end|>"]


def test_eos_is_not_doubled() -> None:
    """A completion that ends with EOS keeps one."""
    assert marker_for("inst").mark_text(Text("", "two</s>")).text == "two</s>"


def test_bytes_of_an_emoji_are_all_supervised(workshop_for: Callable[..., Workshop]) -> None:
    """A character of several tokens at the end of an answer is learnt whole."""
    workshop = workshop_for("nostop")
    rows = [{"messages": chat("u:Hello", "a:Yes 😀", "u:a", "a:b")}]
    [text] = workshop.supervised_text(workshop.prepare(rows).train)
    assert text == " Yes 😀 b\n</s>"


def test_token_across_the_border_of_an_answer_is_supervised_and_counted(
    workshop_for: Callable[..., Workshop],
) -> None:
    """Where the tokenizer merges prompt and completion, the whole token is learnt."""
    workshop = workshop_for(None)
    rows = [{"prompt": "What is a fe", "completion": "ver?"}]
    prepared = workshop.prepare(rows, source={"format": "prompt_completion"})
    [text] = workshop.supervised_text(prepared.train)
    assert text.endswith("ver?</s>") and len(text) > len("ver?</s>")
    assert prepared.report.sources[0].notes["straddling_tokens"].count == 1


def test_template_s_own_words_reach_the_error(workshop_for: Callable[..., Workshop]) -> None:
    """raise_exception of a template is an error with the row's line and the template's words."""
    workshop = workshop_for("gemma")
    rows = [{"messages": CHATS["single"]}, {"messages": CHATS["with system"]}]
    with pytest.raises(TrainboxError) as caught:
        workshop.prepare(rows)
    assert "train.jsonl:2  it says: System role not supported" in caught.value.render()


def test_template_that_quotes_the_conversation_is_not_quoted() -> None:
    """Words of a template that repeat a message do not reach the error."""
    source = "{{ raise_exception('cannot do ' + messages[0].content) }}"
    with pytest.raises(RowFault) as caught:
        ChatTemplate(source, {}, "quoting").render(CHATS["single"])
    assert caught.value.detail == "it fails with TemplateError"
