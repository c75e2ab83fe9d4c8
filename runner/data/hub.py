"""Rows of a data set on the hub, by name; `datasets` and the network are touched here alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from runner.data.rows import Row
from runner.errors import DataError
from runner.spec import DataSource


def is_offline() -> bool:
    """Say whether the hub must not be asked (HF_HUB_OFFLINE, HF_DATASETS_OFFLINE)."""
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in names)


def resolve_revision(source: DataSource) -> str | None:
    """Return the commit a data set's revision stands for now; offline, the revision as given."""
    if is_offline():
        return source.revision
    from huggingface_hub import HfApi

    try:
        return HfApi().dataset_info(source.path, revision=source.revision).sha
    except Exception as error:  # its HTTP library changes from release to release
        raise hub_error(source, error) from error


def read_hub(source: DataSource) -> Iterator[Row]:
    """Yield the rows of one split.

    Raises:
        DataError: not found, gated, offline, or no such split.
    """
    rows = _load(source)
    for number, value in enumerate(rows, start=1):
        yield Row(number, dict(value))


def _load(source: DataSource) -> Any:
    # 2 s of imports: only where a job names a hub data set
    import datasets  # type: ignore[import-untyped]

    was_shown = datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(
            source.path, split=source.split or "train", revision=source.revision
        )
    except Exception as error:  # a loader meets the network, the disk and other people's files
        raise hub_error(source, error) from error
    finally:
        if was_shown:
            datasets.enable_progress_bars()


def hub_error(source: DataSource, error: Exception) -> DataError:
    """Return a failure of the hub in plain words."""
    names = {cause.__name__ for cause in type(error).__mro__}
    text = str(error).lower()
    split = source.split or "train"
    if "gated" in text or "GatedRepoError" in names:
        what = f"the data set `{source.path}` is gated"
        fix = "accept its terms on the hub, then: hf auth login"
    elif is_offline() or names & {"OfflineModeIsEnabled", "LocalEntryNotFoundError"}:
        what = f"the data set `{source.path}` is not in the cache, and the hub must not be asked"
        fix = "unset HF_HUB_OFFLINE and run `trainbox fetch JOB` once"
    elif "unknown split" in text or "split" in names:
        what = f"the data set `{source.path}` has no split `{split}`"
        fix = "set `split` to one that its page on the hub lists"
    elif "doesn't exist" in text or "404" in text or "NotFound" in " ".join(names):
        what = f"no data set `{source.path}` on the hub, or no right to see it"
        fix = "check the name (a local file needs a suffix such as .jsonl); private: hf auth login"
    else:
        what = f"the data set `{source.path}` cannot be had ({type(error).__name__})"
        fix = "check the network; with the data set in the cache, set HF_HUB_OFFLINE=1"
    return DataError(
        id="data-hub",
        what=what,
        where=f"{source.path} ({split})",
        why="there is nothing to train on without it",
        fix=fix,
    )
