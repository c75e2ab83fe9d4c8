"""From the sources of a job to samples on disk and the report on them; memory stays bounded.

Rows go through in batches (`runner.data.batch`); tokens go to a spool, a few numbers of each sample
are kept there too, for choosing, weighing and comparing samples at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.data.archive import Pieces
from runner.data.pool import Recipe
from runner.data.proof import prove
from runner.data.report import DataReport, SourceReport, TemplateReport
from runner.data.rows import Source
from runner.data.select import Indices, held_out, weighted
from runner.data.spool import Spool
from runner.data.take import Taken, take
from runner.data.template import ChatTemplate
from runner.data.tokenizer import Tokenizer
from runner.errors import DataError, Faults, TrainboxError, Where
from runner.spec import Job


@dataclass(frozen=True, kw_only=True)
class Built:
    """Which samples of the spool each split holds, in order, and the report."""

    splits: dict[str, Indices]
    report: DataReport
    spool: Spool

    def arrays(self, split: str) -> dict[str, Pieces]:
        """Return the arrays of a split; their names are in docs/architecture.md."""
        order = self.splits[split]
        lengths = self.spool.lengths()
        chosen = self.spool.rows()[order]
        rows = Pieces(np.int32, chosen.shape, [chosen])
        if lengths.shape[1] == 1:
            ids, offsets = self._end_to_end(order, "part0", np.int32, lengths[:, 0])
            flags, _ = self._end_to_end(order, "supervised", np.bool_, lengths[:, 0])
            return {"input_ids": ids, "offsets": offsets, "supervised": flags, "rows": rows}
        arrays = {"rows": rows}
        for number, name in enumerate(("prompt", "chosen", "rejected")):
            ids, offsets = self._end_to_end(order, f"part{number}", np.int32, lengths[:, number])
            arrays |= {f"{name}_ids": ids, f"{name}_offsets": offsets}
        return arrays

    def _end_to_end(
        self, order: Indices, column: str, dtype: npt.DTypeLike, sizes: npt.NDArray[np.int32]
    ) -> tuple[Pieces, Pieces]:
        """Return the values of samples end to end, and the offsets that cut them again."""
        offsets = _offsets(sizes[order])
        pieces = self.spool.ragged(column, dtype, _offsets(sizes), order)
        return (
            Pieces(dtype, (int(offsets[-1]),), pieces),
            Pieces(np.int64, offsets.shape, [offsets]),
        )


def build(
    job: Job,
    tokenizer: Tokenizer,
    template: ChatTemplate | None,
    sources: Sequence[Source],
    *,
    where: Callable[[str], Where],
    spool: Spool,
    num_workers: int = 0,
) -> Built:
    """Read, render and encode all sources, then split and weigh them.

    Args:
        spool: takes the samples.
        num_workers: processes for large files; the result does not depend on them.

    Raises:
        Faults: all faults of all rows, gathered by kind.
        DataError: a single fault, or nothing is left to train on.
    """
    started = time.perf_counter()
    own = tokenizer.chat_template() if job.data.chat_template != "tokenizer" else None
    faults: list[TrainboxError] = []
    taken: list[Taken] = []
    for source in sources:
        index = sum(one.source.split == source.split for one in taken)
        try:
            first = taken[-1].stop if taken else 0
            recipe = Recipe(
                source=source.spec,
                data=job.data,
                tokenizer_folder=tokenizer.folder,
                template=template,
                own_template=own,
            )
            taken.append(
                take(source, index, first, recipe, tokenizer, spool, num_workers=num_workers)
            )
            faults += taken[-1].errors
        except DataError as error:
            faults.append(error)
    if faults:
        raise faults[0] if len(faults) == 1 else Faults(faults)
    _refuse_empty(taken, where)
    splits = _arrange(taken, job, spool, where)
    report = prove(job, taken, splits, _template_report(template, taken), spool)
    report.seconds = time.perf_counter() - started
    report.rows_per_second = sum(one.rows_read for one in report.sources) / report.seconds
    return Built(splits=splits, report=report, spool=spool)


def _template_report(template: ChatTemplate | None, taken: Sequence[Taken]) -> TemplateReport:
    if template is None:
        return TemplateReport(origin="none")
    return TemplateReport(
        origin=template.origin,
        prints_date=template.prints_date,
        compared=sum(one.num_compared for one in taken),
        served_differently=sum(one.num_served_differently for one in taken),
    )


TOO_LONG = {"data-too-long", "data-truncated-away"}


def _fix_of_empty(report: SourceReport) -> str:
    if not report.dropped:
        return "write rows into it, or take it out of the job"
    if report.dropped.keys() <= TOO_LONG:
        return "raise `data.max_length`"
    return "run `trainbox data JOB` with `data.on_bad_row: error` to see each fault"


def _refuse_empty(taken: Sequence[Taken], where: Callable[[str], Where]) -> None:
    """Refuse a source of which no row is left."""
    empty = [
        DataError(
            id="data-no-samples",
            what=f"no row of `{one.report.path}` can be used ({_reasons(one.report)})",
            where=where(f"{one.source.key}.path"),
            why="there is nothing to train on in it",
            fix=_fix_of_empty(one.report),
        )
        for one in taken
        if one.stop == one.first
    ]
    if empty:
        raise empty[0] if len(empty) == 1 else Faults(empty)


def _reasons(report: SourceReport) -> str:
    dropped = [f"{count:,} dropped as {kind}" for kind, count in report.dropped.items()]
    empty = [f"{report.empty_lines:,} empty lines"] * bool(report.empty_lines)
    return ", ".join([f"{report.rows_read:,} read", *dropped, *empty])


def _arrange(
    taken: Sequence[Taken], job: Job, spool: Spool, where: Callable[[str], Where]
) -> dict[str, Indices]:
    """Return the samples of each split: val_size first, then the weights."""
    seed, size = job.train.seed, job.data.val_size
    digests = spool.column("digests", np.uint8).reshape(-1, 16)
    held = np.zeros(len(digests), dtype=np.bool_)
    if size is not None:
        held = held_out(digests, size, seed)
        if held.all():
            raise _nothing_left(size, len(digests), where)
    splits: dict[str, list[Indices]] = {"train": [], "eval": [np.flatnonzero(held)]}
    for one in taken:
        samples = one.samples[~held[one.samples]]
        chosen = samples[weighted(digests[samples], one.report.weight, seed)]
        splits[one.source.split].append(chosen)
    arranged = {name: np.concatenate(parts) for name, parts in splits.items()}
    return {name: order for name, order in arranged.items() if name == "train" or len(order)}


def _nothing_left(size: float, total: int, where: Callable[[str], Where]) -> DataError:
    return DataError(
        id="data-val-size",
        what=f"val_size {size} holds out all {total:,} samples",
        where=where("data.val_size"),
        why="there is nothing left to train on",
        fix="hold out fewer, or name a file under `data.eval`",
    )


def _offsets(sizes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets
