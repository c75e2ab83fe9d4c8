"""From the sources of a job to samples in memory, every row accounted for; writes nothing."""

from __future__ import annotations

import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from runner.data.encode import Encoded, Encoder
from runner.data.faults import FaultLog, RowFault, shown_name
from runner.data.formats import Chat, Converter, Message, Pair, Sample, Text
from runner.data.mask import Marker
from runner.data.report import DataReport, SourceReport, SplitReport, histogram
from runner.data.rows import ReadCounts, Row, Source, place, read_rows
from runner.data.select import digest, held_out, weighted
from runner.data.template import ChatTemplate
from runner.data.tokenizer import Tokenizer
from runner.errors import DataError, Faults, TrainboxError, Where
from runner.spec import Data, Job

BATCH_ROWS = 1024  # encoded at once: enough for all cores, small in memory


@dataclass
class Taken:
    """The samples of one source that can be trained on."""

    source: Source
    report: SourceReport
    samples: list[Encoded] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Built:
    """Both splits, in the order they are written, and the report."""

    train: list[Encoded]
    eval: list[Encoded]
    report: DataReport


def build(
    job: Job,
    tokenizer: Tokenizer,
    template: ChatTemplate | None,
    sources: Sequence[Source],
    *,
    where: Callable[[str], Where],
) -> Built:
    """Read, render and encode all sources, then split and weigh them.

    Raises:
        Faults: all faults of all rows, gathered by kind.
        DataError: a single fault, or nothing is left to train on.
    """
    started = time.perf_counter()
    marker = Marker(template, tokenizer.added_tokens, tokenizer.eos_token, job.data.loss_on)
    encoder = Encoder(tokenizer, marker)
    faults: list[TrainboxError] = []
    taken = []
    for source in sources:
        try:
            index = sum(one.source.split == source.split for one in taken)
            taken.append(_take(source, index, job.data, encoder, faults))
        except DataError as error:
            faults.append(error)
    if faults:
        raise faults[0] if len(faults) == 1 else Faults(faults)
    _refuse_empty(taken, where)
    if template is not None and template.prints_date:
        encoder.oddities["prints_date"] += 1
    train, held = _arrange(taken, job, where)
    report = DataReport(
        sources=[one.report for one in taken],
        train=_summary(train),
        eval=_summary(held, other=train) if held else None,
        template=template.origin if template else "none",
        stop_tokens=_stop_tokens(train, tokenizer),
        oddities=dict(encoder.oddities),
    )
    report.seconds = time.perf_counter() - started
    report.rows_per_second = sum(one.rows_read for one in report.sources) / report.seconds
    return Built(train=[s for s, _ in train], eval=[s for s, _ in held], report=report)


def _take(
    source: Source, index: int, data: Data, encoder: Encoder, faults: list[TrainboxError]
) -> Taken:
    """Take every good row of a source; append its faults that the job does not drop."""
    report = SourceReport(
        split=source.split,
        path=source.spec.path,
        format=source.spec.format,
        sha256=source.sha256,
        weight=source.spec.weight,
    )
    taken, counts = Taken(source, report), ReadCounts()
    errors, drops = FaultLog(), Counter[str]()
    converter = Converter(
        source.spec.format,
        source.spec.columns,
        has_template=encoder.marker.template is not None,
    )
    convert = _Convert(converter, encoder)

    def refuse(fault: RowFault, number: int) -> None:
        policy = data.on_too_long if fault.kind == "data-too-long" else data.on_bad_row
        if policy == "error":
            errors.add(fault, place(source.spec, number))
        else:
            drops[fault.kind] += 1

    rows = read_rows(source.spec, counts, source.hub_data)
    for batch in iter(lambda: list(itertools.islice(rows, BATCH_ROWS)), []):
        report.rows_read += len(batch)
        for number, encoded in _encode_batch(batch, convert, encoder):
            fitted = encoded if isinstance(encoded, RowFault) else _fit(encoded, data)
            if isinstance(fitted, RowFault):
                refuse(fitted, number)
            elif fitted is None:
                drops["data-truncated-away"] += 1
            else:
                report.truncated += fitted is not encoded
                taken.samples.append(replace(fitted, source=index, row=number))
                taken.digests.append(digest(fitted))
    report.rows_used = len(taken.samples)
    report.dropped = dict(drops)
    report.empty_lines, report.has_bom = counts.empty_lines, counts.has_bom
    report.crlf_lines = counts.crlf_lines
    report.ignored_keys = {
        shown_name(key): count for key, count in converter.ignored_keys.most_common(20)
    }
    faults.extend(errors.errors())
    return taken


class _Convert:
    """Rows to samples, counting what a person should know about them."""

    def __init__(self, converter: Converter, encoder: Encoder) -> None:
        self.converter = converter
        self.encoder = encoder
        tokens = [token for token in encoder.tokenizer.added_tokens if not token.isalnum()]
        self._control = re.compile("|".join(map(re.escape, tokens)) or "(?!)")
        self._first_characters = {token[0] for token in tokens}

    def __call__(self, row: Row) -> Sample | RowFault:
        if isinstance(row.value, RowFault):
            return row.value
        try:
            sample = self.converter(row.value)
        except RowFault as fault:
            return fault
        has_template = self.encoder.marker.template is not None
        is_plain = isinstance(sample, Text) or (
            isinstance(sample, Pair) and isinstance(sample.prompt, str)
        )
        if not is_plain and not has_template:
            return RowFault("data-no-template")
        is_text_format = isinstance(sample, Text) and not sample.prompt
        self.encoder.oddities["plain_text"] += is_plain and has_template and not is_text_format
        self.encoder.oddities["control_tokens"] += self._holds_control_token(sample)
        return sample

    def _holds_control_token(self, sample: Sample) -> bool:
        return any(
            any(first in text for first in self._first_characters) and self._control.search(text)
            for text in _texts(sample)
        )


def _texts(sample: Sample) -> Iterator[str]:
    parts: tuple[list[Message] | str, ...]
    if isinstance(sample, Chat):
        parts = (sample.messages,)
    elif isinstance(sample, Text):
        parts = (sample.prompt, sample.completion)
    else:
        parts = (sample.prompt, sample.chosen, sample.rejected)
    for part in parts:
        if isinstance(part, str):
            yield part
        else:
            yield from (message["content"] for message in part)


def _encode_batch(
    batch: Sequence[Row], convert: _Convert, encoder: Encoder
) -> Iterator[tuple[int, Encoded | RowFault]]:
    """Yield (place, sample or fault) for each row of a batch, in order."""
    converted = [convert(row) for row in batch]
    encoded = iter(encoder.encode([one for one in converted if not isinstance(one, RowFault)]))
    for row, one in zip(batch, converted, strict=True):
        yield row.number, one if isinstance(one, RowFault) else next(encoded)


def _fit(sample: Encoded, data: Data) -> Encoded | RowFault | None:
    """Return a sample that fits max_length; None where the cut leaves nothing to learn."""
    if sample.longest <= data.max_length:
        return sample
    if data.on_too_long != "truncate":
        return RowFault("data-too-long", f"{sample.longest:,} tokens, limit {data.max_length:,}")
    cut = sample.truncated(data.max_length)
    is_whole = cut.supervised.any() and all(len(part) for part in cut.parts[1:])
    return cut if is_whole else None


TOO_LONG = {"data-too-long", "data-truncated-away"}


def _refuse_empty(taken: Sequence[Taken], where: Callable[[str], Where]) -> None:
    """Refuse a source of which no row is left."""
    empty = [
        DataError(
            id="data-no-samples",
            what=f"no row of `{one.report.path}` can be used ({_reasons(one.report)})",
            where=where(f"{one.source.key}.path"),
            why="there is nothing to train on in it",
            fix="raise `data.max_length`"
            if one.report.dropped.keys() and one.report.dropped.keys() <= TOO_LONG
            else "run `trainbox data JOB` with `data.on_bad_row: error` to see each fault",
        )
        for one in taken
        if not one.samples
    ]
    if empty:
        raise empty[0] if len(empty) == 1 else Faults(empty)


def _reasons(report: SourceReport) -> str:
    dropped = [f"{count:,} dropped as {kind}" for kind, count in report.dropped.items()]
    return ", ".join([f"{report.rows_read:,} read", *dropped])


Numbered = list[tuple[Encoded, bytes]]  # samples with their digests


def _arrange(
    taken: Sequence[Taken], job: Job, where: Callable[[str], Where]
) -> tuple[Numbered, Numbered]:
    """Return training and held-out samples: val_size first, then the weights."""
    train, held = [one for one in taken if one.source.split == "train"], Numbered()
    seed, size = job.train.seed, job.data.val_size
    kept = [list(zip(one.samples, one.digests, strict=True)) for one in train]
    if size is not None:
        everything = [item for samples in kept for item in samples]
        out = held_out([one for _, one in everything], size, seed)
        if len(out) >= len(everything):
            raise _nothing_left(size, len(everything), where)
        held = [everything[index] for index in sorted(out)]
        out_digests = {one for _, one in held}
        kept = [[item for item in samples if item[1] not in out_digests] for samples in kept]
    arranged = [
        samples[index]
        for one, samples in zip(train, kept, strict=True)
        for index in weighted([d for _, d in samples], one.report.weight, seed)
    ]
    for one in taken:
        if one.source.split == "eval":
            samples = list(zip(one.samples, one.digests, strict=True))
            held += [samples[i] for i in weighted(one.digests, one.report.weight, seed)]
    return arranged, held


def _nothing_left(size: float, total: int, where: Callable[[str], Where]) -> DataError:
    return DataError(
        id="data-val-size",
        what=f"val_size {size} holds out all {total:,} samples",
        where=where("data.val_size"),
        why="there is nothing left to train on",
        fix="hold out fewer, or name a file under `data.eval`",
    )


def _summary(samples: Numbered, other: Numbered | None = None) -> SplitReport:
    lengths = [sample.longest for sample, _ in samples]
    rows = {id(sample): one for sample, one in samples}  # a weight repeats the same object
    other_digests = {one for _, one in other or []}
    return SplitReport(
        num_samples=len(samples),
        num_tokens=sum(sample.num_tokens for sample, _ in samples),
        num_supervised_tokens=sum(sample.num_supervised for sample, _ in samples),
        longest=max(lengths, default=0),
        duplicates=len(rows) - len(set(rows.values())),
        in_other_split=sum(one in other_digests for one in rows.values()),
        length_histogram=histogram(lengths),
    )


def _stop_tokens(samples: Numbered, tokenizer: Tokenizer) -> dict[str, int]:
    """Return which special tokens end the samples, white space aside, and carry loss."""
    found = Counter[str]()
    for sample, _ in samples:
        part = sample.parts[-1]
        learnt = part[sample.supervised[-len(part) :]][-3:].tolist()
        # a pair ends as its template does, often with a line break after the stop token
        while learnt and learnt[-1] not in tokenizer.added_ids:
            if tokenizer.decode(learnt[-1:]).strip():
                break
            learnt.pop()
        found[tokenizer.added_ids.get(learnt[-1], "none") if learnt else "none"] += 1
    return dict(found)
