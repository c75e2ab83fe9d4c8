"""Where the assistant's turns stand in a rendered conversation, proved by equalities of texts.

1. The shape: the template rendered with a sentinel in place of every content gives the fixed pieces
   between the contents; the text must be exactly pieces and contents in turn. Kept by role order,
   so that a row costs one rendering.
2. One sentinel: only this turn's content is replaced, the rest of the text must stay as it is
   (templates that leave out the reasoning of earlier turns).
3. The prefix: the conversation up to this turn, with generation prompt, must be the start of the
   one that includes it, and that the start of the whole (templates that treat the last turn apart).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from runner.data.faults import RowFault
from runner.data.sample import Message
from runner.data.template import ChatTemplate

END_OF_THOUGHT = "</think>"


@dataclass(frozen=True, slots=True)
class Turn:
    """An assistant turn in a rendered text: [start, end) of what the model writes, sans stop."""

    start: int
    end: int
    is_off_prompt: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """What a template writes around the contents of one order of roles.

    `pieces[i]` stands before content i, the last piece after the last content; `leads[i]` is the
    end of pieces[i] that the model writes itself (None: the generation prompt does not fit).
    """

    pieces: tuple[str, ...]
    leads: tuple[str | None, ...]


class Turns:
    """Finds the assistant turns of conversations that one template renders.

    Args:
        template: of the conversations.
        tail: what may stand after the words of a turn: white space and special tokens.
    """

    def __init__(self, template: ChatTemplate, tail: re.Pattern[str]) -> None:
        self._template = template
        self._tail = tail
        self._shapes: dict[tuple[str, ...], Shape | None] = {}

    def find(self, text: str, messages: Sequence[Message]) -> list[Turn]:
        """Return every assistant turn of a rendered conversation.

        Raises:
            RowFault: one of them cannot be found for certain.
        """
        found = self._by_shape(text, messages)
        if found is None:
            found = [self._by_turn(text, messages, i) for i in assistants(messages)]
        return found

    def _by_shape(self, text: str, messages: Sequence[Message]) -> list[Turn] | None:
        shape = self.shape(tuple(message["role"] for message in messages))
        if shape is None or not text.startswith(shape.pieces[0]):
            return None
        turns, position = [], len(shape.pieces[0])
        for index, message in enumerate(messages):
            is_assistant = message["role"] == "assistant"
            after = shape.pieces[index + 1]
            rendered = next(
                (
                    version
                    for version in _versions(message["content"], is_assistant)
                    if text.startswith(version + after, position)
                ),
                None,
            )
            if rendered is None:
                return None
            end = position + len(rendered)
            if is_assistant:
                lead = shape.leads[index]
                start = position - len(lead or "")
                turns.append(Turn(start, end, is_off_prompt=lead is None))
            position = end + len(after)
        return turns if position == len(text) else None

    def shape(self, roles: tuple[str, ...]) -> Shape | None:
        if roles not in self._shapes:
            self._shapes[roles] = self._measure_shape(roles)
        return self._shapes[roles]

    def _measure_shape(self, roles: tuple[str, ...]) -> Shape | None:
        sentinels = [f"trainbox{number}sentinel" for number in range(len(roles))]
        messages = [
            {"role": role, "content": sentinel}
            for role, sentinel in zip(roles, sentinels, strict=True)
        ]
        try:
            text = self._template.render(messages)
        except RowFault:
            return None
        pieces = []
        for sentinel in sentinels:
            if text.count(sentinel) != 1:
                return None
            piece, text = text.split(sentinel)
            pieces.append(piece)
        pieces.append(text)
        leads: list[str | None] = []
        before = ""
        for index, role in enumerate(roles):
            before += pieces[index]
            is_assistant = role == "assistant"
            leads.append(self._lead(before, messages[:index]) if is_assistant else "")
            before += sentinels[index]
        return Shape(tuple(pieces), tuple(leads))

    def _lead(self, before: str, history: Sequence[Message]) -> str | None:
        """Return the end of the text before a content that the generation prompt leaves open.

        None where the text does not begin with the generation prompt, or where the template has
        none: a role header would then pass for the model's own words.
        """
        try:
            prompt = self._template.render(history, add_generation_prompt=True)
            plain = self._template.render(history)
        except RowFault:  # a template may refuse an empty or unanswered history
            return None
        if not before.startswith(prompt):
            return None
        lead = before[len(prompt) :]
        return lead if prompt != plain or not lead.strip() else None

    def _by_turn(self, text: str, messages: Sequence[Message], index: int) -> Turn:
        turn = self._by_sentinel(text, messages, index) or self._by_prefix(text, messages, index)
        if turn is None:
            is_there = answer_words(messages[index]) in text
            kind = "data-mask" if is_there else "data-lost-turn"
            raise RowFault(kind, f"turn {index + 1} of {len(messages)}")
        return turn

    def _by_sentinel(self, text: str, messages: Sequence[Message], index: int) -> Turn | None:
        sentinel = "trainboxsentinel"
        replaced = [*messages]
        replaced[index] = {**messages[index], "content": sentinel}
        before, found, after = self._template.render(replaced).partition(sentinel)
        content = messages[index]["content"]
        rendered = text[len(before) : len(text) - len(after)]
        if not (found and text.startswith(before) and text.endswith(after)):
            return None
        if sentinel in after or not rendered or rendered not in content:
            return None
        lead = self._lead(before, messages[:index])
        return Turn(
            len(before) - len(lead or ""),
            len(before) + len(rendered),
            is_off_prompt=lead is None,
        )

    def _by_prefix(self, text: str, messages: Sequence[Message], index: int) -> Turn | None:
        prompt = self._template.render(messages[:index], add_generation_prompt=True)
        through = self._template.render(messages[: index + 1])
        if not (text.startswith(through) and through.startswith(prompt)):
            return None
        answer = answer_words(messages[index])
        written = self._tail.sub("", through[len(prompt) :])
        if not answer or not written.endswith(answer):
            return None
        has_prompt = prompt != self._template.render(messages[:index])
        if written[: -len(answer)].strip() and not has_prompt:
            return None  # what stands before the content is a role header
        return Turn(len(prompt), len(prompt) + len(written))


def assistants(messages: Sequence[Message]) -> list[int]:
    """Return the indices of the assistant's turns."""
    return [index for index, message in enumerate(messages) if message["role"] == "assistant"]


def answer_words(message: Message) -> str:
    """Return an assistant's words after its reasoning, which templates may leave out."""
    return message["content"].split(END_OF_THOUGHT)[-1].strip()


def _versions(content: str, is_assistant: bool) -> list[str]:
    """Return what a template may have made of a content, most literal first."""
    versions = [content, content.strip(), content.rstrip(), content.lstrip()]
    if is_assistant and END_OF_THOUGHT in content:
        answer = content.split(END_OF_THOUGHT)[-1]
        versions += [answer, answer.lstrip("\n"), answer.strip()]
    return versions
