"""The data of a job, proved and written to the cache as arrays that training reads.

The steps: check every source, look into the cache, else read, render, mask, encode, write.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.data import cache as entries
from runner.data.formats import EXPECTED, unknown_columns
from runner.data.known_hashes import known_sha256
from runner.data.report import DataReport, SplitReport, report_from_dict
from runner.data.rows import Source, check_file, is_local
from runner.data.template import ChatTemplate
from runner.data.tokenizer import Tokenizer
from runner.errors import DataError, Faults, TrainboxError, Where
from runner.plan import PreparedSplit
from runner.spec import DataSource, Job

if TYPE_CHECKING:
    import numpy.typing as npt


@functools.cache
def code_sha256() -> str:
    """Return the digest of our own code that prepares data: its change makes no entry stale."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


@dataclass(frozen=True, kw_only=True)
class PreparedData:
    """Both splits in the cache, and what was done to make them."""

    train: PreparedSplit
    eval: PreparedSplit | None
    report: DataReport


def prepare(
    job: Job,
    tokenizer: Tokenizer,
    *,
    where: Callable[[str], Where],
    cache: Path,
    offline: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> PreparedData:
    """Prove and prepare the data of a job; a second start takes it from the cache.

    Args:
        job: the job.
        tokenizer: of its base model.
        where: the place of a key in the job file, for errors.
        cache: root of trainbox's cache.
        offline: take data sets of the hub from the cache alone.
        say: takes a line for the user before a download.

    Raises:
        DataError: one fault.
        Faults: several.
        BackendError: data of the hub cannot be kept in the cache.
    """
    _check_sources(job, where)
    template = _template(job, tokenizer, where)
    sources = [
        _source(key, source, where, cache, offline=offline, say=say) for key, source in _keyed(job)
    ]
    key, root = _key(job, tokenizer, template, sources), cache / "data"
    entry = entries.find_entry(root, key)
    if entry is not None:
        report = report_from_dict(entry.report)
        report.from_cache = True
        return PreparedData(train=entry.train, eval=entry.eval, report=report)
    with entries.writing_aside(root) as aside:
        report, facts = _write_splits(job, tokenizer, template, sources, where, aside)
        for source in sources:
            _refuse_changed(source, where, root / entries.HASHES)
        entry = entries.put_entry(root, key, aside, facts=facts, report=report.to_dict())
    return PreparedData(train=entry.train, eval=entry.eval, report=report)


def _write_splits(
    job: Job,
    tokenizer: Tokenizer,
    template: ChatTemplate | None,
    sources: Sequence[Source],
    where: Callable[[str], Where],
    aside: Path,
) -> tuple[DataReport, dict[str, dict[str, Any]]]:
    """Build the splits and write their archives; return the report and the facts of each."""
    # numpy, tokenizers and jinja2: not on a start from cache
    from runner.data.archive import write_archive
    from runner.data.build import build
    from runner.data.spool import Spool

    with Spool(aside / "spool") as spool:
        built = build(
            job,
            tokenizer,
            template,
            sources,
            where=where,
            spool=spool,
            num_workers=len(os.sched_getaffinity(0)),
        )
        for name in built.splits:
            write_archive(aside / f"{name}.npz", built.arrays(name))
    shutil.rmtree(aside / "spool")
    facts = {"train": _facts(built.report.train, sources, "train")}
    if built.report.eval:
        facts["eval"] = _facts(built.report.eval, sources, "eval" if job.data.eval else "train")
    return built.report, facts


def _refuse_changed(source: Source, where: Callable[[str], Where], hashes: Path) -> None:
    """Refuse a file that was written to while it was read: its cache entry would be stale."""
    if source.hub_data is None and known_sha256(source.spec.path, hashes) != source.sha256:
        raise DataError(
            id="data-changed",
            what=f"`{source.spec.path}` was changed while it was read",
            where=where(f"{source.key}.path"),
            why="what was prepared is neither the old data nor the new",
            fix="start again when the file is written",
        )


def load_prepared(path: Path | str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a prepared split, mapped; their names are in docs/architecture.md."""
    from runner.data.archive import read_archive  # numpy: not on a start from cache

    return read_archive(path)


def _check_sources(job: Job, where: Callable[[str], Where]) -> None:
    """Refuse sources that cannot be opened, or that are not of the job's stage."""
    faults: list[TrainboxError] = []
    for key, source in _keyed(job):
        if is_local(source.path) and (fault := check_file(source, where(f"{key}.path"))):
            faults.append(fault)
        if (source.format == "preference") != (job.stage == "dpo"):
            faults.append(_wrong_stage(job, source, where(f"{key}.format")))
        faults += [
            _unknown_column(name, source, where(f"{key}.columns"))
            for name in unknown_columns(source.format, source.columns)
        ]
    if faults:
        raise faults[0] if len(faults) == 1 else Faults(faults)


def _keyed(job: Job) -> list[tuple[str, DataSource]]:
    train = [(f"data.train[{i}]", source) for i, source in enumerate(job.data.train)]
    return train + [(f"data.eval[{i}]", source) for i, source in enumerate(job.data.eval)]


def _wrong_stage(job: Job, source: DataSource, where: Where) -> DataError:
    wanted = "`preference`" if job.stage == "dpo" else "any but `preference`"
    return DataError(
        id="data-format-stage",
        what=f"format `{source.format}` with stage `{job.stage}`, which takes {wanted}",
        where=where,
        why="dpo compares two answers to one prompt, sft learns one",
        fix="set `format: preference`" if job.stage == "dpo" else "set `stage: dpo`",
    )


def _unknown_column(name: str, source: DataSource, where: Where) -> DataError:
    return DataError(
        id="data-unknown-column",
        what=f"format `{source.format}` has no column `{name}`; "
        f"it has {', '.join(EXPECTED[source.format])}",
        where=where,
        why="the map goes from the name the format expects to the name in the file",
        fix="write {expected: actual}, such as columns: {prompt: question}",
    )


def _template(job: Job, tokenizer: Tokenizer, where: Callable[[str], Where]) -> ChatTemplate | None:
    """Return the chat template of the job: of the tokenizer, or of a file."""
    if job.data.chat_template == "tokenizer":
        return tokenizer.chat_template()
    path = Path(job.data.chat_template)
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            id="data-no-template-file",
            what=f"the chat template `{path}` cannot be read ({type(error).__name__})",
            where=where("data.chat_template"),
            why="conversations are turned into text by it",
            fix="name a .jinja file, or write `chat_template: tokenizer`",
        ) from error
    return ChatTemplate(source, tokenizer.special_tokens, str(path))


def fetch_hub_data(
    job: Job,
    *,
    where: Callable[[str], Where],
    cache: Path,
    offline: bool = False,
    refresh: bool = False,
    say: Callable[[str], None],
) -> list[Source]:
    """Have the data sets of the hub that a job names in the cache; files are not read.

    Raises:
        DataError: not found, gated, no such split, not reached; offline: not there.
        BackendError: they cannot be kept in the cache.
    """
    from runner.data.hub import forget

    sources = [(key, source) for key, source in _keyed(job) if not is_local(source.path)]
    for _, source in sources:
        if refresh:
            forget(source, cache=cache)
    return [_source(key, source, where, cache, offline=offline, say=say) for key, source in sources]


def _source(
    key: str,
    source: DataSource,
    where: Callable[[str], Where],
    cache: Path,
    *,
    offline: bool,
    say: Callable[[str], None],
) -> Source:
    """Return a source with the hash of its bytes, of a hub data set of name, commit and split."""
    split = key[5:].split("[")[0]
    if is_local(source.path):
        sha256 = known_sha256(source.path, cache / "data" / entries.HASHES)
        return Source(key=key, split=split, spec=source, sha256=sha256)
    from runner.data.hub import bring

    try:
        data = bring(source, cache=cache, offline=offline, say=say)
    except DataError as error:
        error.where = where(f"{key}.path")
        raise
    named = f"{source.path}@{data.commit}:{source.split or 'train'}"
    sha256 = hashlib.sha256(named.encode()).hexdigest()
    return Source(key=key, split=split, spec=source, sha256=sha256, hub_data=data)


def _key(
    job: Job, tokenizer: Tokenizer, template: ChatTemplate | None, sources: Sequence[Source]
) -> str:
    """Return the digest of all that decides the prepared bytes."""
    data = job.data.model_dump(mode="json", exclude={"packing", "chat_template"})
    all_sources = [source.spec for source in sources]
    uses_seed = job.data.val_size is not None or any(one.weight % 1 for one in all_sources)
    facts = {
        "code": code_sha256(),
        "stage": job.stage,
        "data": data,
        "bytes": [source.sha256 for source in sources],
        "tokenizer": tokenizer.sha256,
        "template": template.source if template else None,
        "seed": job.train.seed if uses_seed else None,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _facts(split: SplitReport, sources: Sequence[Source], read_from: str) -> dict[str, Any]:
    hashes = [source.sha256 for source in sources if source.split == read_from]
    return {
        "num_samples": split.num_samples,
        "num_tokens": split.num_tokens,
        "num_supervised_tokens": split.num_supervised_tokens,
        "longest": split.longest,
        "source_sha256": hashes[0]
        if len(hashes) == 1
        else hashlib.sha256("".join(hashes).encode()).hexdigest(),
    }
