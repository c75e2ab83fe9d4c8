"""What the preparation did with every row: counts and line numbers, never a text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from runner.data.identifiers import KINDS as IDENTIFIERS
from runner.data.notes import Note, note_sentence, rows, shown_lines
from runner.record.layout import SCHEMA_VERSION


@dataclass(kw_only=True)
class SourceReport:
    """One source of the job, from rows read to samples used."""

    split: str  # train | eval
    path: str  # as in the job
    format: str
    sha256: str  # of the file's bytes; of a hub data set, its name and commit
    weight: float = 1.0
    rows_read: int = 0  # rows met, broken ones included
    rows_used: int = 0
    num_tokens: int = 0  # of the rows used, weight aside
    num_supervised_tokens: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # id of the fault → rows
    dropped_at: dict[str, list[int]] = field(default_factory=dict)  # id → the first lines
    truncated: int = 0
    empty_lines: int = 0
    crlf_lines: int = 0
    has_bom: bool = False
    ignored_keys: dict[str, int] = field(default_factory=dict)  # keys of messages not read
    ignored_columns: dict[str, int] = field(default_factory=dict)  # that may judge a row, not read
    roles: dict[str, int] = field(default_factory=dict)  # role → rows that have it
    scripts: dict[str, Note] = field(default_factory=dict)  # script most letters are of → rows
    notes: dict[str, Note] = field(default_factory=dict)  # kind → rows worth a look
    identifiers: dict[str, Note] = field(default_factory=dict)  # kind → rows that hold one

    @property
    def too_long(self) -> int:
        """Rows above max_length: dropped, cut, or cut until nothing was left."""
        dropped = (self.dropped.get(id, 0) for id in ("data-too-long", "data-truncated-away"))
        return self.truncated + sum(dropped)

    @property
    def malformed(self) -> int:
        """Rows dropped because they could not be read or trained on."""
        return sum(self.dropped.values()) + self.truncated - self.too_long


@dataclass(kw_only=True)
class SplitReport:
    """One prepared split."""

    num_samples: int
    num_tokens: int
    num_supervised_tokens: int
    longest: int  # tokens
    duplicates: int = 0  # samples equal to an earlier one of the split, weights aside
    same_words: int = 0  # that differ from an earlier one in case, spaces or punctuation alone
    near_duplicates: int = 0  # that share most word triples with an earlier one
    in_other_split: int = 0  # eval alone: samples that are in the training split too
    same_words_in_other_split: int = 0
    near_in_other_split: int = 0
    question_in_other_split: int = 0  # that ask what one of it asks, and are answered otherwise
    answered_otherwise: int = 0  # samples whose question an earlier one answers otherwise
    reversed_pairs: int = 0  # whose chosen and rejected answers are an earlier one's, exchanged
    one_answer: int = 0  # samples with one and the same answer, where these are far too many
    cut_answers: int = 0  # answers as long as the longest, where they seem cut there
    longest_answer: int = 0  # characters
    places: dict[str, list[str]] = field(default_factory=dict)  # field above → the first of them
    length_histogram: dict[int, int] = field(default_factory=dict)  # upper bound → samples
    packed_rows: int | None = None  # rows of max_length that packing makes; None for pairs

    def packed_share(self, max_length: int) -> float | None:
        """Return how full packed rows are, 0 to 1."""
        return self.num_tokens / (self.packed_rows * max_length) if self.packed_rows else None


@dataclass(kw_only=True)
class TemplateReport:
    """Whether what is trained on is what a server will ask with."""

    origin: str  # which chat template rendered the conversations
    prints_date: bool = False  # the date of the preparation stays in the data
    compared: int = 0  # conversations rendered by the model's own template too, if it is another
    served_differently: int = 0  # of these


@dataclass(kw_only=True)
class DataReport:
    """The proof of the data of a job."""

    sources: list[SourceReport]
    train: SplitReport
    eval: SplitReport | None
    template: TemplateReport
    max_length: int
    stop_tokens: dict[str, int] = field(default_factory=dict)  # token that ends samples → samples
    same_file: list[str] = field(default_factory=list)  # pairs of sources of one content
    seconds: float = 0.0
    rows_per_second: float = 0.0
    from_cache: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON data; it holds no text of any sample."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self), "warnings": self.warnings()}

    def warnings(self) -> list[str]:
        """Return what a person should look at before training, one sentence each."""
        said = [*self.same_file, *_template_warnings(self.template)]
        said += [sentence for source in self.sources for sentence in _source_warnings(source)]
        said += _repeat_warnings(self.train, self.eval)
        return said


def report_from_dict(raw: dict[str, Any]) -> DataReport:
    """Return a report written by `to_dict`."""
    facts = {key: raw[key] for key in raw if key not in ("schema_version", "warnings")}
    facts["sources"] = [_source_from(source) for source in raw["sources"]]
    facts["train"] = _split_from(raw["train"])
    facts["eval"] = _split_from(raw["eval"]) if raw["eval"] else None
    facts["template"] = TemplateReport(**raw["template"])
    return DataReport(**facts)


def _source_from(raw: dict[str, Any]) -> SourceReport:
    noted = ("scripts", "notes", "identifiers")
    notes = {key: {kind: Note(**note) for kind, note in raw[key].items()} for key in noted}
    return SourceReport(**{**raw, **notes})


def _split_from(raw: dict[str, Any]) -> SplitReport:
    lengths = {int(bound): count for bound, count in raw["length_histogram"].items()}
    return SplitReport(**{**raw, "length_histogram": lengths})


def _template_warnings(template: TemplateReport) -> Iterator[str]:
    if template.prints_date:
        yield "the chat template writes today's date; that of the preparation is kept"
    if template.served_differently:
        yield (
            f"{template.served_differently:,} of {template.compared:,} conversations read "
            "otherwise in the model's own chat template: serve it with the template of this job"
        )


def _source_warnings(source: SourceReport) -> Iterator[str]:
    if source.dropped:
        reasons = (
            f"{count:,} {id} ({shown_lines(Note(count, source.dropped_at[id]))})"
            for id, count in source.dropped.items()
        )
        yield f"{source.path}: rows dropped: {', '.join(reasons)}"
    if source.truncated:
        yield f"{source.path}: {source.truncated:,} samples cut at data.max_length"
    if source.empty_lines:
        yield f"{source.path}: {source.empty_lines:,} empty lines skipped"
    if source.has_bom:
        yield f"{source.path}: a byte order mark at the start was skipped"
    if source.crlf_lines:
        yield f"{source.path}: {source.crlf_lines:,} lines end as in Windows (CRLF)"
    if source.ignored_keys:
        keys = ", ".join(source.ignored_keys)
        yield f"{source.path}: keys of messages that no text is made of: {keys}"
    if source.ignored_columns:
        columns = ", ".join(source.ignored_columns)
        yield f"{source.path}: columns that may say which rows are good are not read: {columns}"
    for kind, note in source.notes.items():
        yield _sentence(source.path, note, note_sentence(kind, note.count))
    for kind, note in source.identifiers.items():
        what = f"{rows(note.count)} may hold a person's data: {IDENTIFIERS[kind]}"
        yield _sentence(source.path, note, what)


def _sentence(path: str, note: Note, what: str) -> str:
    return f"{path}:{note.lines[0]}: {what} ({shown_lines(note)})"


_INSIDE = {
    "duplicates": "repeat an earlier one",
    "same_words": "repeat an earlier one but for case, spaces or punctuation",
    "near_duplicates": "are nearly an earlier one",
}
_BETWEEN = {
    "in_other_split": "are in the training data too",
    "same_words_in_other_split": "are in the training data but for case, spaces or punctuation",
    "near_in_other_split": "are nearly in the training data",
    "question_in_other_split": "ask a question of the training data, answered otherwise",
}


def _repeat_warnings(train: SplitReport, held: SplitReport | None) -> Iterator[str]:
    for name, split in (("training", train), ("held-out", held)):
        for field_name, what in _INSIDE.items():
            if split and (count := getattr(split, field_name)):
                yield f"{count:,} {name} samples {what}{_places(split, field_name)}"
    for name, split in (("training", train), ("held-out", held)):
        if split:
            yield from _answer_warnings(name, split)
    for field_name, what in _BETWEEN.items():
        if held and (count := getattr(held, field_name)):
            yield (
                f"{count:,} of {held.num_samples:,} held-out samples {what}: the held-out loss "
                f"will look better than it is{_places(held, field_name)}"
            )


def _answer_warnings(name: str, split: SplitReport) -> Iterator[str]:
    if split.answered_otherwise:
        where = _places(split, "answered_otherwise")
        yield f"{split.answered_otherwise:,} {name} samples answer an earlier one's question " + (
            f"otherwise{where}"
        )
    if split.reversed_pairs:
        where = _places(split, "reversed_pairs")
        yield f"{split.reversed_pairs:,} {name} pairs prefer what an earlier one rejects{where}"
    if split.one_answer:
        yield f"{split.one_answer:,} of {split.num_samples:,} {name} samples have the same answer"
    if split.cut_answers:
        yield (
            f"{split.cut_answers:,} {name} answers are exactly {split.longest_answer:,} characters "
            "long, and none is longer: they may have been cut there"
        )


def _places(split: SplitReport, name: str) -> str:
    places = split.places.get(name, [])
    return f" ({', '.join(places)}{', …' * (getattr(split, name) > len(places))})"
