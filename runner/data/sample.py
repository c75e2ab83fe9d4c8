"""What a row says, whatever its format: a conversation, a plain text, or a preference pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

Message = dict[str, str]  # role and content


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation; turns before `num_context` never carry loss of their own."""

    messages: list[Message]
    num_context: int = 0


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text; the loss is on the completion, all of it where there is no prompt."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt: three lists of messages, or three strings."""

    prompt: list[Message] | str
    chosen: list[Message] | str
    rejected: list[Message] | str
    is_prompt_repeated: bool = field(default=False, compare=False)  # before both answers too
    is_scored_lower: bool = field(default=False, compare=False)  # chosen, by the row's own scores


Sample = Chat | Text | Pair


def parts_of(sample: Sample) -> tuple[list[Message] | str, ...]:
    """Return the parts of a sample that are tokenised apart, in order."""
    if isinstance(sample, Chat):
        return (sample.messages,)
    if isinstance(sample, Text):
        return (sample.prompt, sample.completion)
    return (sample.prompt, sample.chosen, sample.rejected)


def texts_of(sample: Sample, *, has_system: bool = True) -> Iterator[str]:
    """Yield the texts of a sample in order, those of the system on demand."""
    for part in parts_of(sample):
        if isinstance(part, str):
            yield part
        else:
            yield from (turn["content"] for turn in part if has_system or turn["role"] != "system")
