"""One batch of rows: converted, looked through, rendered and encoded; pure, no file is touched.

What comes out is arrays, faults and notes with the numbers of their rows; no text leaves here.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.data.answers import answer_keys, answer_of, notes_of
from runner.data.encode import Encoded, Encoder
from runner.data.faults import RowFault
from runner.data.formats import Converter
from runner.data.identifiers import find_identifiers
from runner.data.notes import Note, NoteLog
from runner.data.row import Row
from runner.data.sample import Chat, Pair, Sample, Text, parts_of, texts_of
from runner.data.select import digest
from runner.data.sketch import Keys, sketch
from runner.data.template import ChatTemplate
from runner.data.texts import TextBatch, oddities, script_of
from runner.spec import Data

COMPARED = 100  # first lines of a source: templates that differ do so at once


@dataclass
class Batch:
    """What a batch of rows has become; arrays are over its good samples, in order."""

    num_rows: int
    numbers: npt.NDArray[np.int64]  # line or row number of each sample
    parts: list[npt.NDArray[np.int32]]  # tokens end to end: one array, of pairs three
    lengths: npt.NDArray[np.int32]  # (num_samples, num_parts)
    supervised: npt.NDArray[np.bool_]  # over the tokens of all samples
    num_supervised: npt.NDArray[np.int32]
    digests: npt.NDArray[np.uint8]  # (num_samples, 16)
    keys: Keys
    answers: npt.NDArray[np.uint64]  # (num_samples, 3), see runner.data.answers
    answer_lengths: npt.NDArray[np.int32]  # characters
    faults: list[tuple[int, RowFault]] = field(default_factory=list)
    num_truncated: int = 0
    notes: dict[str, Note] = field(default_factory=dict)
    identifiers: dict[str, Note] = field(default_factory=dict)
    scripts: dict[str, Note] = field(default_factory=dict)
    roles: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    ignored_keys: Counter[str] = field(default_factory=Counter)
    ignored_columns: Counter[str] = field(default_factory=Counter)
    num_compared: int = 0  # conversations rendered by the model's own template too
    num_served_differently: int = 0  # of these

    @property
    def num_tokens(self) -> int:
        """Tokens the model sees: of a pair, the prompt counts twice."""
        return int(self.lengths.sum() + (self.lengths[:, 0].sum() if len(self.parts) == 3 else 0))


class Batcher:
    """Turns batches of rows of one source into arrays.

    Args:
        converter: of the source's format.
        encoder: of the job's tokenizer and template.
        data: settings of the job.
        own_template: of the model, where the job has another one.
    """

    def __init__(
        self,
        converter: Converter,
        encoder: Encoder,
        data: Data,
        own_template: ChatTemplate | None = None,
    ) -> None:
        self.converter = converter
        self.encoder = encoder
        self.data = data
        self.own_template = own_template
        tokens = [token for token in encoder.tokenizer.added_tokens if not token.isalnum()]
        self._control = re.compile("|".join(map(re.escape, tokens)) or "(?!)")
        self._control_bytes = np.zeros(256, dtype=np.bool_)
        self._control_bytes[[token.encode()[0] for token in tokens]] = True

    def __call__(self, rows: Sequence[Row]) -> Batch:
        """Return what a batch of rows has become."""
        self.converter.ignored_keys.clear()
        self.converter.ignored_columns.clear()
        log, identifiers, scripts, roles = NoteLog(), NoteLog(), NoteLog(), Counter[str]()
        faults: list[tuple[int, RowFault]] = []
        samples: list[Sample] = []
        numbers: list[int] = []
        for row in rows:
            try:
                samples.append(self._convert(row.value))
                numbers.append(row.number)
            except RowFault as fault:
                faults.append((row.number, fault))
        batch = TextBatch([_text(sample) for sample in samples])
        orders = [_role_order(sample) for sample in samples]
        self._look_through(batch, samples, orders, numbers, log)
        for index, kind in find_identifiers(batch):
            identifiers.add(kind, numbers[index])
        for number, text in zip(numbers, batch.texts, strict=True):
            scripts.add(script_of(text), number)
        for order, count in Counter(orders).items():
            roles.update(dict.fromkeys(order, count))
        has_system = any("system" in order for order in orders)
        keys = sketch(_without_system(samples) if has_system else batch)
        answers = [answer_of(sample) for sample in samples]
        for index, kind in sorted(set(notes_of(batch, samples, answers))):
            log.add(kind, numbers[index])
        compared_answers = answer_keys(samples, answers)
        compared = self._compared(samples, numbers)
        good: list[Encoded] = []
        kept: list[int] = []
        num_truncated = 0
        for index, encoded in enumerate(self.encoder.encode(samples)):
            fitted = encoded if isinstance(encoded, RowFault) else self._fit(encoded)
            if isinstance(fitted, RowFault):
                faults.append((numbers[index], fitted))
                continue
            for kind in fitted.notes:
                log.add(kind, numbers[index])
            num_truncated += fitted is not encoded
            good.append(fitted)
            kept.append(index)
        faults.sort(key=lambda item: item[0])
        stops = self._stops(good, [numbers[index] for index in kept], log)
        return Batch(
            num_rows=len(rows),
            numbers=np.array([numbers[index] for index in kept], dtype=np.int64),
            parts=_end_to_end(good),
            lengths=_lengths(good),
            supervised=_joined([one.supervised for one in good], np.bool_),
            num_supervised=np.array([one.num_supervised for one in good], dtype=np.int32),
            digests=np.frombuffer(b"".join(map(digest, good)), dtype=np.uint8).reshape(-1, 16),
            keys=keys[kept],
            answers=compared_answers[kept],
            answer_lengths=np.array([len(answers[index]) for index in kept], dtype=np.int32),
            faults=faults,
            num_truncated=num_truncated,
            notes=log.notes,
            identifiers=identifiers.notes,
            scripts=scripts.notes,
            roles=roles,
            stops=stops,
            ignored_keys=Counter(self.converter.ignored_keys),
            ignored_columns=Counter(self.converter.ignored_columns),
            num_compared=len(compared),
            num_served_differently=sum(map(self._is_served_differently, compared)),
        )

    def _compared(self, samples: Sequence[Sample], numbers: Sequence[int]) -> list[Chat]:
        """Return the conversations among the first rows, where there is something to compare."""
        if self.own_template is None:
            return []
        first = zip(samples, numbers, strict=True)
        return [one for one, number in first if isinstance(one, Chat) and number <= COMPARED]

    def _is_served_differently(self, chat: Chat) -> bool:
        """Say whether the model's own template, which a server has, makes another text of it."""
        template = self.encoder.marker.template
        assert template is not None and self.own_template is not None
        try:
            return template.render(chat.messages) != self.own_template.render(chat.messages)
        except RowFault:
            return True

    def _convert(self, value: dict[str, Any] | RowFault) -> Sample:
        if isinstance(value, RowFault):
            raise value
        sample = self.converter(value)
        if self.encoder.marker.template is None and not _is_plain(sample):
            raise RowFault("data-no-template")
        return sample

    def _look_through(
        self,
        batch: TextBatch,
        samples: Sequence[Sample],
        orders: Sequence[tuple[str, ...]],
        numbers: Sequence[int],
        log: NoteLog,
    ) -> None:
        """Note what is odd about the turns and texts of a batch."""
        has_template = self.encoder.marker.template is not None
        for number, sample, order in zip(numbers, samples, orders, strict=True):
            if isinstance(sample, Chat):
                for kind in turn_notes(order):
                    log.add(kind, number)
                last = sample.messages[-2:]
                if len(last) == 2 and last[0]["content"] == last[1]["content"]:
                    log.add("echo", number)
            elif has_template and _is_plain(sample) and not _is_bare(sample):
                log.add("plain_text", number)
            if isinstance(sample, Pair) and sample.is_prompt_repeated:
                log.add("repeated_prompt", number)
        for index, kind in oddities(batch):
            log.add(kind, numbers[index])
        for index in batch.rows_of(np.flatnonzero(self._control_bytes[batch.raw])):
            if self._control.search(batch.texts[index]):
                log.add("control_tokens", numbers[index])

    def _fit(self, sample: Encoded) -> Encoded | RowFault:
        """Return a sample that fits max_length, cut where the job asks for it."""
        limit = self.data.max_length
        if sample.longest <= limit:
            return sample
        if self.data.on_too_long != "truncate":
            return RowFault("data-too-long", f"{sample.longest:,} tokens, limit {limit:,}")
        cut = sample.truncated(limit)
        is_whole = cut.supervised.any() and all(len(part) for part in cut.parts[1:])
        return cut if is_whole else RowFault("data-truncated-away")

    def _stops(
        self, samples: Sequence[Encoded], numbers: Sequence[int], log: NoteLog
    ) -> Counter[str]:
        """Count which special tokens end the samples, white space aside, and carry loss."""
        found = Counter[str]()
        for sample, number in zip(samples, numbers, strict=True):
            name = self._stop(sample)
            found[name or "none"] += 1
            if name is None:
                log.add("no_stop", number)
        return found

    def _stop(self, sample: Encoded) -> str | None:
        tokenizer = self.encoder.tokenizer
        part = sample.parts[-1]
        learnt = part[sample.supervised[-len(part) :]][-3:].tolist()
        # a pair ends as its template does, often with a line break after the stop token
        while learnt and learnt[-1] not in tokenizer.added_ids:
            if tokenizer.decode(learnt[-1:]).strip():
                break
            learnt.pop()
        return tokenizer.added_ids.get(learnt[-1]) if learnt else None


@lru_cache(maxsize=4096)
def turn_notes(roles: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is odd about an order of roles."""
    turns = [role for role in roles if role != "system"]
    found = {
        "assistant_first": turns[0] == "assistant",
        # answers of several tools follow each other
        "roles_repeat": any(a == b != "tool" for a, b in itertools.pairwise(roles)),
        "open_end": roles[-1] != "assistant",
        "late_system": "system" in roles[1:],
    }
    return tuple(kind for kind, is_so in found.items() if is_so)


def _is_plain(sample: Sample) -> bool:
    return isinstance(sample, Text) or (isinstance(sample, Pair) and isinstance(sample.prompt, str))


def _is_bare(sample: Sample) -> bool:
    return isinstance(sample, Text) and not sample.prompt


def _text(sample: Sample, *, has_system: bool = True) -> str:
    """Return all words of a sample, those of the system on demand."""
    if isinstance(sample, Chat) and has_system:
        return "\n".join([turn["content"] for turn in sample.messages])
    return "\n".join(texts_of(sample, has_system=has_system))


def _role_order(sample: Sample) -> tuple[str, ...]:
    """Return the roles of a sample in order; () of plain text."""
    if isinstance(sample, Chat):
        return tuple([turn["role"] for turn in sample.messages])
    parts = [part for part in parts_of(sample) if not isinstance(part, str)]
    return tuple([turn["role"] for part in parts for turn in part])


def _without_system(samples: Sequence[Sample]) -> TextBatch:
    """Return what distinguishes samples from each other: a shared system text does not."""
    return TextBatch([_text(sample, has_system=False) for sample in samples])


def _joined(arrays: Sequence[npt.NDArray[Any]], dtype: type[np.generic]) -> npt.NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=dtype)


def _lengths(samples: Sequence[Encoded]) -> npt.NDArray[np.int32]:
    lengths = np.array([[len(part) for part in one.parts] for one in samples], dtype=np.int32)
    return lengths if samples else lengths.reshape(0, 1)


def _end_to_end(samples: Sequence[Encoded]) -> list[npt.NDArray[np.int32]]:
    if not samples:
        return []
    return [
        _joined([sample.parts[number] for sample in samples], np.int32)
        for number in range(len(samples[0].parts))
    ]
