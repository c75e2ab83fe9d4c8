"""What is said about the splits of a job once all samples are known: counts and places, no text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from runner.data import duplicates
from runner.data.agreement import agreement
from runner.data.packing import count_packed_rows
from runner.data.report import DataReport, SplitReport, TemplateReport
from runner.data.rows import place
from runner.data.select import Indices
from runner.data.spool import Spool
from runner.data.take import Taken
from runner.spec import Job

# fields of SplitReport, by what duplicates.Repeats calls them
_INSIDE = {"exact": "duplicates", "same_words": "same_words", "near": "near_duplicates"}
_BETWEEN = {
    "exact": "in_other_split",
    "same_words": "same_words_in_other_split",
    "near": "near_in_other_split",
    "question": "question_in_other_split",
}


def prove(
    job: Job,
    taken: Sequence[Taken],
    splits: dict[str, Indices],
    template: TemplateReport,
    spool: Spool,
) -> DataReport:
    """Return the report on the splits of a job.

    Args:
        splits: `train` and perhaps `eval`: samples of the spool, in order, perhaps repeated.
        template: of the conversations.
    """
    places = _Places(taken, spool)
    train = np.unique(splits["train"])
    trained = _summary(splits["train"], job, spool)
    _write(trained, duplicates.inside(spool, train), places, _INSIDE)
    _write_answers(trained, train, spool, places)
    evaluated = None
    if "eval" in splits:
        held = np.unique(splits["eval"])
        evaluated = _summary(splits["eval"], job, spool)
        _write(evaluated, duplicates.inside(spool, held), places, _INSIDE)
        _write_answers(evaluated, held, spool, places)
        _write(evaluated, duplicates.between(spool, held, train), places, _BETWEEN)
    stops = [one.stops for one in taken if one.source.split == "train"]
    return DataReport(
        sources=[one.report for one in taken],
        train=trained,
        eval=evaluated,
        template=template,
        max_length=job.data.max_length,
        stop_tokens=dict(sum(stops, Counter[str]())),
        same_file=_same_files(taken),
    )


def _summary(order: Indices, job: Job, spool: Spool) -> SplitReport:
    lengths = spool.lengths()[order].astype(np.int64)
    prompts = lengths[:, 0]
    is_pairs = lengths.shape[1] == 3
    longest = prompts + lengths[:, 1:].max(axis=1) if is_pairs else prompts
    is_packable = not is_pairs and job.data.packing is not False
    return SplitReport(
        num_samples=len(order),
        num_tokens=int(lengths.sum()) + (int(prompts.sum()) if is_pairs else 0),
        num_supervised_tokens=int(spool.column("num_supervised", np.int32)[order].sum()),
        longest=int(longest.max()),
        length_histogram=histogram(longest),
        packed_rows=count_packed_rows(longest, job.data.max_length) if is_packable else None,
    )


def _write(
    report: SplitReport, found: duplicates.Repeats, places: _Places, fields: dict[str, str]
) -> None:
    """Write what was found into a report, with the first places."""
    for kind, name in fields.items():
        setattr(report, name, getattr(found, kind))
        if pairs := found.pairs[kind]:
            report.places[name] = [f"{places(one)} and {places(other)}" for one, other in pairs]


def _write_answers(report: SplitReport, samples: Indices, spool: Spool, places: _Places) -> None:
    """Write what the answers of a split have in common into its report."""
    keys = spool.column("answers", np.uint64).reshape(-1, 3)
    lengths = spool.column("answer_lengths", np.int32)
    found = agreement(keys, lengths, samples, duplicates.PAIRS_SHOWN)
    report.one_answer = found.one_answer
    report.cut_answers, report.longest_answer = found.one_length
    for name in ("answered_otherwise", "reversed_pairs"):
        count, pairs = getattr(found, name)
        setattr(report, name, count)
        if pairs:
            report.places[name] = [f"{places(one)} and {places(other)}" for one, other in pairs]


class _Places:
    """Names samples of the spool by file and line."""

    def __init__(self, taken: Sequence[Taken], spool: Spool) -> None:
        self._taken = taken
        self._rows = spool.rows()

    def __call__(self, sample: int) -> str:
        one = next(one for one in self._taken if sample < one.stop)
        return place(one.source.spec, int(self._rows[sample, 1]))


def _same_files(taken: Sequence[Taken]) -> list[str]:
    """Return a sentence for each two sources that are one file, by path or by content."""
    said = []
    for number, one in enumerate(taken):
        for other in taken[:number]:
            if one.source.sha256 == other.source.sha256:
                what = "held out and trained on" if one.source.split != other.source.split else ""
                said.append(
                    f"{one.source.key} and {other.source.key} are the same data"
                    + (f": it is {what}" if what else ", which is then taken twice")
                )
    return said


def histogram(lengths: npt.NDArray[np.int64]) -> dict[int, int]:
    """Return how many lengths are at most 32, 64, 128 … tokens, by upper bound."""
    filled = lengths[lengths > 0]
    exponents = np.ceil(np.log2(np.maximum(filled, 32))).astype(np.int64)
    bounds, counts = np.unique(exponents, return_counts=True)
    return {1 << int(bound): int(count) for bound, count in zip(bounds, counts, strict=True)}
