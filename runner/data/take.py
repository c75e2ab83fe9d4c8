"""One source, from its rows to samples in the spool, every row accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from runner.data.batch import Batch
from runner.data.faults import FaultLog, RowFault, shown_name
from runner.data.notes import NoteLog, rare
from runner.data.pool import Recipe, make_batches
from runner.data.report import SourceReport
from runner.data.row import ReadCounts, Row
from runner.data.rows import Source, place, read_rows
from runner.data.select import Indices, identities
from runner.data.spool import Spool
from runner.data.tokenizer import Tokenizer
from runner.errors import DataError
from runner.spec import Data

BATCH_ROWS = 1024  # encoded at once: enough for all cores, small in memory
BATCH_CHARACTERS = 1 << 22  # and of long rows fewer


@dataclass
class Taken:
    """The samples of one source that can be trained on: which of the spool they are.

    Args:
        index: in data.train or data.eval of the job.
        first: its first sample in the spool.
    """

    source: Source
    index: int
    first: int
    report: SourceReport
    stop: int = 0
    stops: Counter[str] = field(default_factory=Counter)  # token that ends samples → samples
    num_compared: int = 0  # conversations rendered by the model's own template too
    num_served_differently: int = 0
    errors: list[DataError] = field(default_factory=list)  # faults that the job does not drop

    @property
    def samples(self) -> Indices:
        return np.arange(self.first, self.stop)


def take(
    source: Source,
    index: int,
    first: int,
    recipe: Recipe,
    tokenizer: Tokenizer,
    spool: Spool,
    *,
    num_workers: int,
) -> Taken:
    """Take every good row of a source.

    Args:
        index: in data.train or data.eval of the job.
        first: number of samples in the spool before.
        num_workers: processes for a large file.

    Raises:
        DataError: the source as a whole cannot be read.
    """
    report = SourceReport(
        split=source.split,
        path=source.spec.path,
        format=source.spec.format,
        sha256=source.sha256,
        weight=source.spec.weight,
    )
    taken, counts = Taken(source, index, first, report, stop=first), ReadCounts()
    errors, drops = FaultLog(source.key), NoteLog()
    notes, identifiers, scripts = NoteLog(), NoteLog(), NoteLog()
    roles, ignored, columns = Counter[str](), Counter[str](), Counter[str]()
    rows = read_rows(source.spec, counts, source.hub_data)
    for batch in make_batches(recipe, tokenizer, batches(rows), num_workers):
        report.rows_read += batch.num_rows
        report.truncated += batch.num_truncated
        for number, fault in batch.faults:
            if _is_error(fault, recipe.data):
                errors.add(fault, place(source.spec, number))
            else:
                drops.add(fault.kind, number)
        _keep(batch, index, spool)
        taken.stop += len(batch.numbers)
        report.num_tokens += batch.num_tokens
        report.num_supervised_tokens += int(batch.num_supervised.sum())
        notes.merge(batch.notes)
        identifiers.merge(batch.identifiers)
        scripts.merge(batch.scripts)
        roles.update(batch.roles)
        ignored.update(batch.ignored_keys)
        columns.update(batch.ignored_columns)
        taken.stops.update(batch.stops)
        taken.num_compared += batch.num_compared
        taken.num_served_differently += batch.num_served_differently
    for _, note in rare(scripts.notes):
        notes.merge({"other_script": note})
    report.rows_used = taken.stop - taken.first
    report.dropped = {kind: note.count for kind, note in drops.notes.items()}
    report.dropped_at = {kind: note.lines for kind, note in drops.notes.items()}
    report.roles = dict(roles)
    report.empty_lines, report.has_bom = counts.empty_lines, counts.has_bom
    report.crlf_lines = counts.crlf_lines
    report.ignored_keys = {shown_name(key): count for key, count in ignored.most_common(20)}
    report.ignored_columns = dict(columns)
    report.notes, report.identifiers = notes.notes, identifiers.notes
    report.scripts = scripts.notes
    taken.errors = errors.errors()
    return taken


def batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield rows in lists of at most BATCH_ROWS rows and about BATCH_CHARACTERS."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += row.size
        if len(batch) == BATCH_ROWS or size > BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _is_error(fault: RowFault, data: Data) -> bool:
    if fault.kind == "data-truncated-away":
        return False
    policy = data.on_too_long if fault.kind == "data-too-long" else data.on_bad_row
    return policy == "error"


def _keep(batch: Batch, index: int, spool: Spool) -> None:
    """Append the samples of a batch to the spool."""
    for number, part in enumerate(batch.parts):
        spool.append(f"part{number}", part)
    if len(batch.parts) == 1:
        spool.append("supervised", batch.supervised)
    spool.append("lengths", batch.lengths)
    spool.append("num_supervised", batch.num_supervised)
    sources = np.full(len(batch.numbers), index, dtype=np.int32)
    spool.append("rows", np.stack([sources, batch.numbers.astype(np.int32)], axis=1))
    spool.append("digests", batch.digests)
    spool.append("identity", identities(batch.digests))
    spool.append("answers", batch.answers)
    spool.append("answer_lengths", batch.answer_lengths)
    for number in range(batch.keys.shape[1]):
        spool.append(f"key{number}", batch.keys[:, number])
