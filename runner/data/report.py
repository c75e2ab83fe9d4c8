"""What the preparation did with every row: counts alone, never a text."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

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
    dropped: dict[str, int] = field(default_factory=dict)  # id of the fault → rows
    truncated: int = 0
    empty_lines: int = 0
    crlf_lines: int = 0
    has_bom: bool = False
    ignored_keys: dict[str, int] = field(default_factory=dict)  # keys of messages not read


@dataclass(kw_only=True)
class SplitReport:
    """One prepared split."""

    num_samples: int
    num_tokens: int
    num_supervised_tokens: int
    longest: int  # tokens
    duplicates: int  # samples equal to an earlier one of the split, weights aside
    in_other_split: int = 0  # eval alone: samples that are in the training split too
    length_histogram: dict[int, int] = field(default_factory=dict)  # upper bound → samples


@dataclass(kw_only=True)
class DataReport:
    """The proof of the data of a job."""

    sources: list[SourceReport]
    train: SplitReport
    eval: SplitReport | None
    template: str  # which chat template rendered the conversations
    stop_tokens: dict[str, int] = field(default_factory=dict)  # token that ends samples → samples
    oddities: dict[str, int] = field(default_factory=dict)  # decisions on the way, counted
    seconds: float = 0.0
    rows_per_second: float = 0.0
    from_cache: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON data; it holds no text of any sample."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self), "warnings": self.warnings()}

    def warnings(self) -> list[str]:
        """Return what a person should look at before training, one sentence each."""
        said = [_ODDITIES[name].format(count) for name, count in self.oddities.items() if count]
        said += [sentence for source in self.sources for sentence in _source_warnings(source)]
        if self.train.duplicates:
            said.append(f"{self.train.duplicates:,} training samples repeat an earlier one")
        if self.eval and self.eval.in_other_split:
            said.append(
                f"{self.eval.in_other_split:,} of {self.eval.num_samples:,} held-out samples are "
                "in the training data too: the held-out loss will look better than it is"
            )
        return said


def report_from_dict(raw: dict[str, Any]) -> DataReport:
    """Return a report written by `to_dict`."""
    facts = {key: raw[key] for key in raw if key not in ("schema_version", "warnings")}
    facts["sources"] = [SourceReport(**source) for source in raw["sources"]]
    facts["train"] = _split_from(raw["train"])
    facts["eval"] = _split_from(raw["eval"]) if raw["eval"] else None
    return DataReport(**facts)


def _split_from(raw: dict[str, Any]) -> SplitReport:
    lengths = {int(bound): count for bound, count in raw["length_histogram"].items()}
    return SplitReport(**{**raw, "length_histogram": lengths})


# What the encoder counts, as a sentence; {} is the count.
_ODDITIES = {
    "straddling_tokens": "{:,} tokens straddle the border of an answer; they carry loss",
    "altered_turns": "{:,} turns are not rendered word for word by the chat template "
    "(many leave out the reasoning of earlier answers, some the system text)",
    "added_eos": "{:,} samples had no stop token after the answer; EOS was added and carries loss",
    "unstopped_turns": "{:,} assistant turns inside a conversation end without the stop token of "
    "the last one; their end is not learnt",
    "off_prompt": "{:,} samples do not go on where the template's generation prompt ends: "
    "the model is asked in another form than it is trained on",
    "control_tokens": "{:,} rows hold the text of a special token; it is encoded as that token",
    "plain_text": "{:,} rows are trained as plain text, without the model's chat template",
    "prints_date": "the chat template writes today's date; that of the preparation is kept",
}


def _source_warnings(source: SourceReport) -> list[str]:
    said = []
    if source.dropped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in source.dropped.items())
        said.append(f"{source.path}: rows dropped: {reasons}")
    if source.truncated:
        said.append(f"{source.path}: {source.truncated:,} samples cut at data.max_length")
    if source.empty_lines:
        said.append(f"{source.path}: {source.empty_lines:,} empty lines skipped")
    if source.has_bom:
        said.append(f"{source.path}: a byte order mark at the start was skipped")
    if source.ignored_keys:
        keys = ", ".join(source.ignored_keys)
        said.append(f"{source.path}: keys of messages that no text is made of: {keys}")
    return said


def histogram(lengths: list[int]) -> dict[int, int]:
    """Return how many lengths are at most 32, 64, 128 … tokens, by upper bound."""
    bounds = Counter(max(32, 1 << (length - 1).bit_length()) for length in lengths if length)
    return dict(sorted(bounds.items()))
