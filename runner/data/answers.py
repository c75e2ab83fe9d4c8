"""What samples hold that was meant otherwise, and keys by which answers are compared."""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from runner.data.sample import Chat, Message, Pair, Sample, Text, texts_of
from runner.data.texts import TextBatch

PLACEHOLDER_CHARACTERS = 24
PLACEHOLDERS = {
    "", "todo", "tbd", "tba", "fixme", "n/a", "na", "none", "null", "nil", "nan", "undefined",
    "[object object]", "object object", "empty", "missing", "placeholder", "xxx", "#n/a",
    "#value!", "#ref!", "#name?", "test", "lorem ipsum", "answer", "response", "output",
}  # fmt: skip
_AROUND = " \t\n.…,;:!?*_\"'`()<>-\u2013\u2014"
# Characters of the longest cell of Excel, and of a text column of older databases: cut there.
CUT_LENGTHS = {32_767, 65_535}
LONG = 300  # characters from which an answer may run in circles
CIRCLE_WORDS, CIRCLE_DISTINCT = 30, 3  # of its end
SHORT_PROMPT = 20  # characters: may well be the first word of an answer
# A turn that another program wrote into the text of this one.
TURN_LINES = ("\nUser:", "\nHuman:", "\nAssistant:")
_TURN = re.compile(
    r"### (?:Instruction|Response|Human:|Assistant:)|\[/?INST\]|<\|(?:im_start|im_end|eot_id|user"
    r"|assistant|start_header_id|endoftext)\|>|<(?:start|end)_of_turn>"
)
_MEDIUM = re.compile(r"<(?:image|audio|video)>|<\|image|<img\b")
MEDIUM_URI = "data:image/"
_UNFILLED = re.compile(
    r"\{\{\s*[\w.]+\s*\}\}|\{(?:question|input|instruction|context|answer|response|output|prompt"
    r"|name|text|query|document)\}|\[(?:INSERT|YOUR|NAME|DATE|FILL)\b[^\]\n]{0,40}\]|<(?:YOUR|INSERT)"
    r"[ _][^>\n]{0,40}>|%\((?:question|input|name|text)\)s"
)
_CHAT_AS_TEXT = re.compile(r'\s*[\[{]\s*\{?\s*"(?:messages|role|conversations|from)"\s*:')

OPENING = "{[<%#"  # what slots, marks and JSON begin with
_OPENS = np.zeros(256, dtype=np.bool_)
_OPENS[[*OPENING.encode()]] = True

Keys = npt.NDArray[np.uint64]  # (num_samples, 3): question, answer, rejected answer or 0


def notes_of(
    batch: TextBatch, samples: Sequence[Sample], answers: Sequence[str]
) -> Iterator[tuple[int, str]]:
    """Yield (index, kind of note) of what samples hold that was meant otherwise.

    What stands nowhere in the batch is looked for in no sample: rows go by at 50 µs each.

    Args:
        batch: all texts of the samples.
        answers: as `answer_of` gives them.
    """
    for index, answer in enumerate(answers):
        size = len(answer)
        if size <= PLACEHOLDER_CHARACTERS and answer.strip(_AROUND).lower() in PLACEHOLDERS:
            yield index, "placeholder"
        elif size >= LONG and _runs_in_circles(answer):
            yield index, "circles"
    has_marks = any(mark in batch.joined for mark in OPENING)
    for index in batch.rows_of(np.flatnonzero(_OPENS[batch.raw])) if has_marks else ():
        for pattern, kind in ((_UNFILLED, "unfilled"), (_TURN, "turn_inside"), (_MEDIUM, "medium")):
            if pattern.search(batch.texts[index]):
                yield index, kind
        if any(map(_CHAT_AS_TEXT.match, texts_of(samples[index]))):
            yield index, "chat_as_text"
    for mark, kind in (*((line, "turn_inside") for line in TURN_LINES), (MEDIUM_URI, "medium")):
        if mark in batch.joined:
            yield from ((index, kind) for index, text in enumerate(batch.texts) if mark in text)
    if len(batch.joined) >= min(CUT_LENGTHS):
        for index, sample in enumerate(samples):
            if len(batch.texts[index]) >= min(CUT_LENGTHS) and any(
                len(text) in CUT_LENGTHS for text in texts_of(sample)
            ):
                yield index, "cut_cell"
    if samples and not isinstance(samples[0], Chat):
        yield from _notes_of_pairs(samples)


def _notes_of_pairs(samples: Sequence[Sample]) -> Iterator[tuple[int, str]]:
    for index, sample in enumerate(samples):
        if isinstance(sample, Text) and _repeats_prompt(sample):
            yield index, "echoed_prompt"
        if isinstance(sample, Pair) and sample.is_scored_lower:
            yield index, "scores_swapped"


def _runs_in_circles(answer: str) -> bool:
    words = answer[-LONG:].split()
    return len(words) >= CIRCLE_WORDS and len(set(words)) <= CIRCLE_DISTINCT


def _repeats_prompt(text: Text) -> bool:
    prompt = text.prompt.strip()
    return len(prompt) >= SHORT_PROMPT and text.completion.lstrip().startswith(prompt)


def answer_of(sample: Sample) -> str:
    """Return the last words that carry loss; of a pair those of the chosen answer."""
    if isinstance(sample, Text):
        return sample.completion
    turns = sample.messages if isinstance(sample, Chat) else sample.chosen
    if isinstance(turns, str):
        return turns
    return turns[_last_answer(turns)]["content"]


def _last_answer(turns: Sequence[Message]) -> int:
    last = len(turns) - 1
    while turns[last]["role"] != "assistant":
        last -= 1
    return last


def answer_keys(samples: Sequence[Sample], answers: Sequence[str]) -> Keys:
    """Return hashes of questions, answers and rejected answers; 0 where there is none."""
    flat = array("Q")
    for sample, answer in zip(samples, answers, strict=True):
        flat.append(_hash(_question(sample).encode()))
        flat.append(_hash(answer.encode()))
        flat.append(_rejected(sample))
    return np.frombuffer(flat, dtype=np.uint64).reshape(-1, 3)


def _question(sample: Sample) -> str:
    if isinstance(sample, Chat):
        turns = sample.messages
        if len(turns) == 2 and turns[1]["role"] == "assistant":
            return turns[0]["content"]
        return _joined(turns[: _last_answer(turns)])
    return _joined(sample.prompt)


def _rejected(sample: Sample) -> int:
    return _hash(_joined(sample.rejected).encode()) if isinstance(sample, Pair) else 0


def _joined(part: Sequence[Message] | str) -> str:
    return part if isinstance(part, str) else "\0".join([turn["content"] for turn in part])


def _hash(raw: bytes) -> int:
    """Return 64 bits that equal texts share: two checksums, ten times as fast as a digest."""
    return zlib.crc32(raw) << 32 | zlib.adler32(raw) if raw else 0
