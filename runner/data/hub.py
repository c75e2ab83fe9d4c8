"""Data sets on the hub, by name: resolved to a commit once, their rows kept in trainbox's cache.

`datasets` and the network are touched here alone. Its own cache, offline, takes the newest commit
it has, whatever revision is asked for; so the rows of a commit are kept by us, and read from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.base_model.cache import Say, sole_writer
from runner.data.hub_errors import hub_error, needs_stack, not_cached, raise_disk_fault
from runner.spec import DataSource

REQUEST_TIMEOUT_SECONDS = 10.0
COMMIT = re.compile(r"[0-9a-f]{40}")
ROWS = "rows.parquet"  # in the folder of a split: read without `datasets`


@dataclass(frozen=True, kw_only=True)
class HubData:
    """One split of a data set at one commit, in the cache."""

    commit: str
    folder: Path


def bring(
    source: DataSource,
    *,
    cache: Path,
    offline: bool = False,
    say: Say = lambda _: None,
) -> HubData:
    """Have the rows of a source in the cache; the second time nobody is asked.

    Args:
        source: a data set of the hub; its revision is resolved to a commit once and remembered.
        cache: root of trainbox's cache.
        offline: use what is there.
        say: takes a line for the user before a download.

    Raises:
        DataError: not found, gated, no such split, not reached; offline: not there.
        BackendError: the disk is full or the cache cannot be written.
    """
    offline = offline or is_offline()
    root = _root(source, cache)
    commit = _recall(source, root)
    if commit is None:
        if offline:
            raise not_cached(source)
        commit = _ask_hub(source)
        with sole_writer(root, say=say) as aside:
            _remember(source, root, commit, aside)
    data = _at(source, root, commit)
    if not data.folder.is_dir():
        if offline:
            raise not_cached(source)
        say(f"downloading the data set {source.path} @ {commit[:12]} ({source.split or 'train'})")
        with sole_writer(root, say=say) as aside:
            _download(source, data, aside)
    return data


def is_brought(source: DataSource, cache: Path) -> bool:
    """Say whether the rows of a source are in the cache."""
    root = _root(source, cache)
    commit = _recall(source, root)
    return commit is not None and _at(source, root, commit).folder.is_dir()


def read_hub(data: HubData) -> Iterator[dict[str, Any]]:
    """Yield the rows of a split that `bring` has brought, in order."""
    import pyarrow.parquet  # type: ignore[import-untyped]  # 0.2 s; `datasets` takes 2 s

    with pyarrow.parquet.ParquetFile(data.folder / ROWS) as file:
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()


def forget(source: DataSource, *, cache: Path) -> None:
    """Forget the commit of a branch: the next command asks the hub again."""
    _memory(source, _root(source, cache)).unlink(missing_ok=True)


def is_offline() -> bool:
    """Say whether the environment forbids to ask the hub (HF_HUB_OFFLINE, HF_DATASETS_OFFLINE)."""
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in names)


# --- which commit -------------------------------------------------------------------------------


def _root(source: DataSource, cache: Path) -> Path:
    return cache / "hub-data" / source.path.replace("/", "--")


def _at(source: DataSource, root: Path, commit: str) -> HubData:
    """Return where the rows of a split at a commit are, or will be."""
    split = hashlib.sha256((source.split or "train").encode()).hexdigest()[:16]
    return HubData(commit=commit, folder=root / commit / split)


def _memory(source: DataSource, root: Path) -> Path:
    return root / f"{(source.revision or 'default branch').replace('/', '--')}.json"


def _recall(source: DataSource, root: Path) -> str | None:
    if source.revision and COMMIT.fullmatch(source.revision):
        return source.revision
    try:
        commit = json.loads(_memory(source, root).read_text(encoding="utf-8"))["commit"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return commit if isinstance(commit, str) and COMMIT.fullmatch(commit) else None


def _remember(source: DataSource, root: Path, commit: str, aside: Path) -> None:
    new = aside / "commit.json"
    new.write_text(json.dumps({"commit": commit}) + "\n", encoding="utf-8")
    new.replace(_memory(source, root))


def _ask_hub(source: DataSource) -> str:
    from huggingface_hub import HfApi  # 0.2 s, and only where the hub is asked

    try:
        info = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None).dataset_info(
            source.path, revision=source.revision, timeout=REQUEST_TIMEOUT_SECONDS
        )
    except Exception as error:  # its HTTP library changes from release to release
        raise hub_error(source, error) from error
    assert info.sha is not None, "the hub always names the commit"
    return info.sha


# --- bringing the rows --------------------------------------------------------------------------


def _download(source: DataSource, data: HubData, aside: Path) -> None:
    """Write one split of a commit into the cache: there whole or not at all."""
    if data.folder.is_dir():
        return  # another process has brought it while we waited
    datasets = _import_datasets(source)
    new = aside / "rows"
    new.mkdir(mode=0o700)  # it may be private data
    with _quiet(datasets):
        try:
            rows = datasets.load_dataset(
                source.path,
                split=source.split or "train",
                revision=data.commit,
                cache_dir=str(aside / "work"),
            )
            rows.to_parquet(str(new / ROWS))
        except Exception as error:  # a loader meets the network, the disk and others' files
            raise_disk_fault(error)
            raise hub_error(source, error) from error
    data.folder.parent.mkdir(exist_ok=True)
    new.rename(data.folder)


def _import_datasets(source: DataSource) -> Any:
    try:
        import datasets  # type: ignore[import-untyped]  # 2 s, and only to download
    except ImportError as error:
        raise needs_stack(source) from error
    return datasets


@contextlib.contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Keep the bars and hints of `datasets` off the terminal."""
    was_shown = datasets.utils.logging.is_progress_bar_enabled()
    verbosity = datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    # its hints about cards and tokens are not for this terminal
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if was_shown:
            datasets.enable_progress_bars()
