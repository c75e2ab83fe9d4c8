"""The data of a job, proved and written to the cache as arrays that training reads.

The steps: check every source, look into the cache, else read, render, mask, encode, write.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.data import cache as entries
from runner.data.formats import EXPECTED, unknown_columns
from runner.data.report import DataReport, SplitReport, report_from_dict
from runner.data.rows import Source, check_file, is_local
from runner.data.template import ChatTemplate
from runner.data.tokenizer import Tokenizer
from runner.errors import DataError, Faults, TrainboxError, Where
from runner.plan import PreparedSplit
from runner.spec import DataSource, Job

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from runner.data.build import Built
    from runner.data.encode import Encoded

CODE_VERSION = 2  # raise it with any change in runner/data that changes arrays or the report


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
    built = _build(job, tokenizer, template, sources, where)
    entry = entries.write_entry(
        root,
        key,
        arrays={name: _arrays(samples) for name, samples in _splits(built)},
        facts={
            "train": _facts(built.report.train, sources, "train"),
            **(
                {"eval": _facts(built.report.eval, sources, "eval" if job.data.eval else "train")}
                if built.report.eval
                else {}
            ),
        },
        report=built.report.to_dict(),
    )
    return PreparedData(train=entry.train, eval=entry.eval, report=built.report)


def load_prepared(path: Path | str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a prepared split; their names are in docs/architecture.md."""
    import numpy as np

    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


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
        sha256 = entries.file_sha256(source.path)
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
        "code": CODE_VERSION,
        "stage": job.stage,
        "data": data,
        "bytes": [source.sha256 for source in sources],
        "tokenizer": tokenizer.sha256,
        "template": template.source if template else None,
        "seed": job.train.seed if uses_seed else None,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _build(
    job: Job,
    tokenizer: Tokenizer,
    template: ChatTemplate | None,
    sources: Sequence[Source],
    where: Callable[[str], Where],
) -> Built:
    from runner.data.build import build  # numpy, tokenizers and jinja2: not on a start from cache

    return build(job, tokenizer, template, sources, where=where)


def _splits(built: Built) -> list[tuple[str, list[Encoded]]]:
    return [("train", built.train)] + ([("eval", built.eval)] if built.eval else [])


def _facts(split: SplitReport | None, sources: Sequence[Source], read_from: str) -> dict[str, Any]:
    assert split is not None
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


def _arrays(samples: Sequence[Encoded]) -> dict[str, npt.NDArray[np.generic]]:
    """Return the arrays of a split: parts end to end, with the offsets that cut them again."""
    import numpy as np

    rows = np.array([(sample.source, sample.row) for sample in samples], dtype=np.int32)
    if len(samples[0].parts) == 1:
        ids, offsets = _end_to_end([sample.parts[0] for sample in samples])
        supervised = np.concatenate([sample.supervised for sample in samples])
        return {"input_ids": ids, "offsets": offsets, "supervised": supervised, "rows": rows}
    arrays: dict[str, npt.NDArray[np.generic]] = {"rows": rows}
    for number, name in enumerate(("prompt", "chosen", "rejected")):
        ids, offsets = _end_to_end([sample.parts[number] for sample in samples])
        arrays |= {f"{name}_ids": ids, f"{name}_offsets": offsets}
    return arrays


def _end_to_end(
    parts: Sequence[npt.NDArray[np.int32]],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    import numpy as np

    offsets = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return np.concatenate(parts).astype(np.int32), offsets
