"""Which characters of a rendered conversation carry loss.

Supervised is what the model has to write itself: everything from the end of the generation prompt
to the stop token of an assistant turn, the stop token included, what follows it not. Turns are
found by four ways, each of which proves itself by an equality of texts; if none holds, the row is
refused. Nothing is guessed.

1. `{% generation %}` markers of the template, one block an assistant turn.
2. The shape: the template rendered with a sentinel in place of every content gives the fixed pieces
   between the contents; the text must be exactly pieces and contents in turn. Kept by role order,
   so that a row costs one rendering.
3. One sentinel: only this turn's content is replaced, the rest of the text must stay as it is
   (templates that leave out the reasoning of earlier turns).
4. The prefix: the conversation up to this turn, with generation prompt, must be the start of the
   one that includes it, and that the start of the whole (templates that treat the last turn apart).
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

LossOn = Literal["assistant", "completion", "all"]
END_OF_THOUGHT = "</think>"


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
        self._tail = re.compile(rf"(?:\s|{any_token})+\Z")
        self._shapes: dict[tuple[str, ...], Shape | None] = {}
        self._stops: dict[tuple[str, ...], str | None] = {}
        self._verbatims: dict[tuple[str, ...], Verbatim | None] = {}

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
        shape = self._shapes.get(roles)
        stop = self._stops.get(_through_last_answer(roles))
        if shape is None or stop is None or self.template.has_generation_markers:
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
        turns = [] if spans else self.find_turns(text, chat.messages)
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
        for index in _assistants(messages):
            if _answer(messages[index]) not in text:
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
        total = len(_assistants(chat.messages))
        return [total - 1] if self.loss_on == "completion" else list(range(before, total))

    def find_turns(self, text: str, messages: Sequence[Message]) -> list[Turn]:
        """Return every assistant turn of a rendered conversation.

        Raises:
            RowFault: one of them cannot be found for certain.
        """
        found = self._by_shape(text, messages)
        if found is None:
            found = [self._by_turn(text, messages, i) for i in _assistants(messages)]
        return found

    def _by_shape(self, text: str, messages: Sequence[Message]) -> list[Turn] | None:
        shape = self._shape(tuple(message["role"] for message in messages))
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

    def _shape(self, roles: tuple[str, ...]) -> Shape | None:
        if roles not in self._shapes:
            self._shapes[roles] = self._measure_shape(roles)
        return self._shapes[roles]

    def _measure_shape(self, roles: tuple[str, ...]) -> Shape | None:
        assert self.template is not None
        sentinels = [f"trainbox{number}sentinel" for number in range(len(roles))]
        messages = [
            {"role": role, "content": sentinel}
            for role, sentinel in zip(roles, sentinels, strict=True)
        ]
        try:
            text = self.template.render(messages)
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
        assert self.template is not None
        try:
            prompt = self.template.render(history, add_generation_prompt=True)
            plain = self.template.render(history)
        except RowFault:  # a template may refuse an empty or unanswered history
            return None
        if not before.startswith(prompt):
            return None
        lead = before[len(prompt) :]
        return lead if prompt != plain or not lead.strip() else None

    def _by_turn(self, text: str, messages: Sequence[Message], index: int) -> Turn:
        turn = self._by_sentinel(text, messages, index) or self._by_prefix(text, messages, index)
        if turn is None:
            raise RowFault("data-mask", f"turn {index + 1} of {len(messages)}")
        return turn

    def _by_sentinel(self, text: str, messages: Sequence[Message], index: int) -> Turn | None:
        assert self.template is not None
        sentinel = "trainboxsentinel"
        replaced = [*messages]
        replaced[index] = {**messages[index], "content": sentinel}
        before, found, after = self.template.render(replaced).partition(sentinel)
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
        assert self.template is not None
        prompt = self.template.render(messages[:index], add_generation_prompt=True)
        through = self.template.render(messages[: index + 1])
        if not (text.startswith(through) and through.startswith(prompt)):
            return None
        answer = _answer(messages[index])
        written = self._tail.sub("", through[len(prompt) :])
        if not answer or not written.endswith(answer):
            return None
        has_prompt = prompt != self.template.render(messages[:index])
        if written[: -len(answer)].strip() and not has_prompt:
            return None  # what stands before the content is a role header
        return Turn(len(prompt), len(prompt) + len(written))

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
        upto = messages[: _assistants(messages)[-1] + 1]
        roles = tuple(message["role"] for message in upto)
        if roles not in self._stops:
            assert self.template is not None
            text = self.template.render(upto)
            match = self._stop_at.match(text, self.find_turns(text, upto)[-1].end)
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
        answers = [_answer(messages[index]) for index in _assistants(messages)]
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


def _assistants(messages: Sequence[Message]) -> list[int]:
    return [index for index, message in enumerate(messages) if message["role"] == "assistant"]


def _answer(message: Message) -> str:
    """Return an assistant's words after its reasoning, which templates may leave out."""
    return message["content"].split(END_OF_THOUGHT)[-1].strip()


def _num_altered(text: str, messages: Sequence[Message]) -> int:
    return sum(message["content"].strip() not in text for message in messages)


def _versions(content: str, is_assistant: bool) -> list[str]:
    """Return what a template may have made of a content, most literal first."""
    versions = [content, content.strip(), content.rstrip(), content.lstrip()]
    if is_assistant and END_OF_THOUGHT in content:
        answer = content.split(END_OF_THOUGHT)[-1]
        versions += [answer, answer.lstrip("\n"), answer.strip()]
    return versions


def _joined(spans: Sequence[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
