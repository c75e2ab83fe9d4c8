"""Which characters of a rendered conversation carry loss.

Supervised is what the model has to write itself: everything from the end of the generation prompt
to the stop token of an assistant turn, the stop token included, what follows it not. The marks of
a template's own `{% generation %}` blocks count first, one block an assistant turn; else turns are
found by `runner.data.turns`, or the row is refused. Nothing is guessed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from runner.data.faults import RowFault
from runner.data.sample import Chat, Message, Text
from runner.data.template import ChatTemplate, Span
from runner.data.turns import Turn, Turns, answer_words, assistants

LossOn = Literal["assistant", "completion", "all"]


@dataclass(frozen=True, slots=True)
class Marked:
    """A text with the characters that carry loss."""

    text: str
    spans: list[Span]  # sorted, apart from each other
    is_rendered: bool  # by a chat template, which writes BOS itself where it is wanted
    whole: bool = False  # every token carries loss, those without characters (BOS) too
    num_altered: int = 0  # turns that the template did not render word for word
    has_added_eos: bool = False
    num_unstopped: int = 0  # earlier assistant turns that no stop token ends
    is_off_prompt: bool = False  # the text does not go on where the generation prompt ends


@dataclass(frozen=True, slots=True)
class Verbatim:
    """A shape whose every answer ends with a stop token: masks follow from lengths alone.

    `answers` holds for each assistant turn its index, the length of its lead (None: off the
    generation prompt) and the length of its stop.
    """

    pieces: tuple[str, ...]
    answers: tuple[tuple[int, int | None, int], ...]


class Marker:
    """Renders conversations and plain texts, and marks what carries loss.

    Args:
        template: the chat template; None where the model has none.
        added_tokens: all tokens that are taken whole, longest first: a stop token is one of them.
        eos_token: appended (and supervised) where nothing else stops the sample.
        loss_on: as in the job.
    """

    def __init__(
        self,
        template: ChatTemplate | None,
        added_tokens: Sequence[str],
        eos_token: str | None,
        loss_on: LossOn,
    ) -> None:
        self.template = template
        self.eos_token = eos_token
        self.loss_on = loss_on
        any_token = "|".join(map(re.escape, added_tokens)) or "(?!)"
        self._stop_at = re.compile(rf"\s*(?:{any_token})")
        self._added_tokens = tuple(added_tokens)
        tail = re.compile(rf"(?:\s|{any_token})+\Z")
        self._turns = Turns(template, tail) if template is not None else None
        self._stops: dict[tuple[str, ...], str | None] = {}
        self._verbatims: dict[tuple[str, ...], Verbatim | None] = {}

    @property
    def turns(self) -> Turns:
        """Finds the turns of what the template renders."""
        assert self._turns is not None, "a chat needs a template: checked before the first row"
        return self._turns

    def mark_text(self, text: Text) -> Marked:
        """Mark a plain text: its completion and one EOS carry loss."""
        whole = text.prompt + self.with_eos(text.completion)
        everything = self.loss_on == "all" or not text.prompt
        return Marked(
            whole,
            [(0 if everything else len(text.prompt), len(whole))],
            is_rendered=False,
            whole=everything,
        )

    def with_eos(self, text: str) -> str:
        """Return a text that ends with one EOS token."""
        if self.eos_token is None:
            raise RowFault("data-no-stop")
        return text if text.endswith(self.eos_token) else text + self.eos_token

    def mark_chat(self, chat: Chat) -> Marked:
        """Render a conversation and mark its assistant turns.

        Raises:
            RowFault: the template refuses it, or its turns cannot be found for certain.
        """
        assert self.template is not None, "a chat needs a template: checked before the first row"
        if self.loss_on == "all":
            text, has_added_eos = self.answered(chat.messages)
            span = (0, len(text))
            return Marked(
                text,
                [span],
                is_rendered=True,
                whole=True,
                num_altered=_num_altered(text, chat.messages),
                has_added_eos=has_added_eos,
            )
        text = self.template.render(chat.messages)
        roles = tuple([message["role"] for message in chat.messages])
        if verbatim := self._verbatims.get(roles):
            marked = self._mark_verbatim(text, chat, verbatim)
            if marked is not None:
                return marked
        marked = self._mark_rendered(text, chat)
        if roles not in self._verbatims:
            self._verbatims[roles] = self._measure_verbatim(roles)
        return marked

    def _mark_verbatim(self, text: str, chat: Chat, verbatim: Verbatim) -> Marked | None:
        """Mark a text that is pieces and contents in turn, word for word; None where it is not."""
        parts = [""] * (2 * len(chat.messages) + 1)
        parts[::2] = verbatim.pieces
        parts[1::2] = [message["content"] for message in chat.messages]
        if "".join(parts) != text:
            return None
        ends = list(itertools.accumulate(map(len, parts)))  # of content i: ends[2 * i + 1]
        chosen = verbatim.answers
        if chat.num_context or self.loss_on != "assistant":
            chosen = tuple(verbatim.answers[number] for number in self._wanted(chat))
        return Marked(
            text,
            [(ends[2 * i] - (lead or 0), ends[2 * i + 1] + stop) for i, lead, stop in chosen],
            is_rendered=True,
            is_off_prompt=any(lead is None for _, lead, _ in chosen),
        )

    def _measure_verbatim(self, roles: tuple[str, ...]) -> Verbatim | None:
        """Return the verbatim form of an order of roles that has been marked before, or None."""
        assert self.template is not None
        if self.template.has_generation_markers:
            return None
        shape, stop = self.turns.shape(roles), self._stops.get(_through_last_answer(roles))
        if shape is None or stop is None:
            return None
        answers = []
        for index, role in enumerate(roles):
            if role != "assistant":
                continue
            after, is_last = shape.pieces[index + 1], index + 1 == len(roles)
            if not after.startswith(stop):
                return None
            length, rest = len(stop), after[len(stop) :]
            if self.eos_token and rest.startswith(self.eos_token):
                length += len(self.eos_token)
            elif self.eos_token and not is_last and self.eos_token.startswith(rest):
                return None  # the next content might complete an EOS
            lead = shape.leads[index]
            answers.append((index, None if lead is None else len(lead), length))
        return Verbatim(shape.pieces, tuple(answers))

    def _mark_rendered(self, text: str, chat: Chat) -> Marked:
        spans = self._generation_spans(text, chat.messages)
        turns = [] if spans else self.turns.find(text, chat.messages)
        spans = spans or [self._with_stop(text, turn, chat.messages) for turn in turns]
        start, end = spans[-1]
        needs_eos = _ends_with_assistant(chat.messages) and not self._ends_with_token(
            text[start:end]
        )
        wanted = self._wanted(chat)
        return Marked(
            self.with_eos(text) if needs_eos else text,
            [spans[number] for number in wanted] + self._eos_span(text, end) * needs_eos,
            is_rendered=True,
            num_altered=_num_altered(text, chat.messages),
            has_added_eos=needs_eos,
            num_unstopped=sum(not self._ends_with_token(text[a:b]) for a, b in spans[:-1]),
            is_off_prompt=any(turns[number].is_off_prompt for number in wanted if turns),
        )

    def answered(self, messages: Sequence[Message]) -> tuple[str, bool]:
        """Return a rendered conversation, with EOS (True) where its last answer had no stop.

        Raises:
            RowFault: the template refuses it, or leaves an answer out.
        """
        assert self.template is not None
        text = self.template.render(messages)
        for index in assistants(messages):
            if answer_words(messages[index]) not in text:
                raise RowFault("data-lost-turn", f"turn {index + 1} of {len(messages)}")
        if not _ends_with_assistant(messages) or self._ends_with_token(text):
            return text, False
        return self.with_eos(text), True

    def _eos_span(self, text: str, answer_end: int) -> list[Span]:
        """Return the span of an EOS added at the end, with the white space that leads to it."""
        start = len(text) if text[answer_end:].strip() else answer_end
        return [(start, len(text) + len(self.eos_token or ""))]

    def _wanted(self, chat: Chat) -> list[int]:
        """Return which assistant turns carry loss, counted among the assistant turns."""
        before = sum(turn["role"] == "assistant" for turn in chat.messages[: chat.num_context])
        total = len(assistants(chat.messages))
        return [total - 1] if self.loss_on == "completion" else list(range(before, total))

    def _with_stop(self, text: str, turn: Turn, messages: Sequence[Message]) -> Span:
        """Return a turn with its stop token, where the template wrote one."""
        stop = self._stop(messages)
        if stop is None or not text.startswith(stop, turn.end):
            return (turn.start, turn.end)
        end = turn.end + len(stop)
        # Phi-4-mini ends the last turn with <|end|> and the text with EOS: both stop it
        if self.eos_token and text.startswith(self.eos_token, end):
            end += len(self.eos_token)
        return (turn.start, end)

    def _stop(self, messages: Sequence[Message]) -> str | None:
        """Return what the template writes at the end of a final answer, up to its first token."""
        upto = messages[: assistants(messages)[-1] + 1]
        roles = tuple(message["role"] for message in upto)
        if roles not in self._stops:
            assert self.template is not None
            text = self.template.render(upto)
            match = self._stop_at.match(text, self.turns.find(text, upto)[-1].end)
            self._stops[roles] = match.group() if match else None
        return self._stops[roles]

    def _ends_with_token(self, text: str) -> bool:
        return text.rstrip().endswith(self._added_tokens)

    def _generation_spans(self, text: str, messages: Sequence[Message]) -> list[Span]:
        """Return the template's own marks, one an assistant turn, each up to its stop token."""
        assert self.template is not None
        if not self.template.has_generation_markers:
            return []
        unmarked, marks = self.template.render_marked(messages)
        spans = [mark for mark in _joined(marks) if text[mark[0] : mark[1]].strip()]
        answers = [answer_words(messages[index]) for index in assistants(messages)]
        if unmarked != text or len(spans) != len(answers):
            return []
        if any(a not in text[start:end] for a, (start, end) in zip(answers, spans, strict=True)):
            return []
        stop = None
        if _ends_with_assistant(messages):  # what follows can be no header of a next turn
            match = self._stop_at.match(text, spans[-1][1])
            stop = match.group() if match else None
        return [self._to_stop(text, span, stop) for span in spans]

    def _to_stop(self, text: str, span: Span, stop: str | None) -> Span:
        """Return a marked span without what follows its stop token, and with the stop token."""
        start, end = span
        written = text[start:end].rstrip()
        if self._ends_with_token(written):
            return (start, start + len(written))
        return (start, end + len(stop)) if stop and text.startswith(stop, end) else span


def _through_last_answer(roles: tuple[str, ...]) -> tuple[str, ...]:
    last = max(index for index, role in enumerate(roles) if role == "assistant")
    return roles[: last + 1]


def _ends_with_assistant(messages: Sequence[Message]) -> bool:
    return messages[-1]["role"] == "assistant"


def _num_altered(text: str, messages: Sequence[Message]) -> int:
    return sum(message["content"].strip() not in text for message in messages)


def _joined(spans: Sequence[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
