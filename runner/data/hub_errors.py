"""What can go wrong with a data set of the hub, in words a person can act on."""

from __future__ import annotations

import errno
import re

from runner.data.faults import shown_name
from runner.errors import DataError
from runner.spec import DataSource

# Of httpx, requests and huggingface_hub: no connection, no answer in time, an answer of no use.
NOT_REACHED = {
    "ConnectionError",
    "ConnectError",
    "HTTPError",
    "HTTPStatusError",
    "HfHubHTTPError",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "TimeoutException",
    "TimeoutError",
    "TransportError",
}
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}


def hub_error(source: DataSource, error: Exception) -> DataError:
    """Return a failure of the hub in plain words; nothing of a row is repeated."""
    names = {cause.__name__ for one in _causes(error) for cause in type(one).__mro__}
    text = " ".join(str(one) for one in _causes(error))
    name, lower = source.path, text.lower()
    split, page = source.split or "train", f"https://huggingface.co/datasets/{source.path}"
    if "GatedRepoError" in names or "is a gated dataset" in lower:
        return _error(
            source,
            "data-hub-gated",
            f"the data set `{name}` is gated: its terms must be accepted first",
            f"accept them at {page}, then run `hf auth login` (or set HF_TOKEN)",
        )
    if "RevisionNotFoundError" in names:
        return _error(
            source,
            "data-hub-not-found",
            f"the data set `{name}` has no revision `{source.revision}`",
            "correct `revision`: a branch, tag or commit; null takes the default branch",
        )
    if "invalid credentials" in lower or "token is expired" in lower:
        return _error(
            source,
            "data-hub-token-refused",
            f"the hub does not accept your token, asked for the data set `{name}`",
            "make a new one at https://huggingface.co/settings/tokens, then `hf auth login` "
            "(HF_TOKEN, where it is set, comes before the login)",
        )
    if names & {"RepositoryNotFoundError", "DatasetNotFoundError"} or _status(error) in (401, 403):
        return _error(
            source,
            "data-hub-not-found",
            f"no data set `{name}` on the hub, or no right to see it",
            "check the name (a local file needs a suffix such as .jsonl); private: hf auth login",
        )
    if "unknown split" in lower or "bad split" in lower:
        known = re.search(r"one of \[([^\]]*)\]", text)
        listed = f" ({known[1]})".replace("'", "").replace('"', "") if known else ""
        return _error(
            source,
            "data-hub-split",
            f"the data set `{name}` has no split {shown_name(split)}",
            f"set `split` to one that it has{listed}",
        )
    if "config name is missing" in lower:
        return _error(
            source,
            "data-hub-unreadable",
            f"the data set `{name}` has several configurations, and none is the default",
            f"`hf download {name} --repo-type dataset --local-dir FOLDER`, and name its files",
        )
    if names & NOT_REACHED:
        return _error(
            source,
            "data-hub-not-reached",
            f"the hub did not answer for the data set `{name}` ({type(error).__name__})",
            "check network and proxy, then run it again",
        )
    return _error(
        source,
        "data-hub-unreadable",
        f"the data set `{name}` cannot be read as rows ({type(error).__name__})",
        f"`hf download {name} --repo-type dataset --local-dir FOLDER`, and name its files",
    )


def _error(source: DataSource, id: str, what: str, fix: str) -> DataError:
    return DataError(
        id=id,
        what=what,
        where=f"{source.path} ({source.split or 'train'})",
        why="there is nothing to train on without it",
        fix=fix,
    )


def not_cached(source: DataSource) -> DataError:
    """Return the error for rows that are not here and may not be asked for."""
    return _error(
        source,
        "data-hub-not-cached",
        f"the data set `{source.path}` is not in the cache, and the hub must not be asked",
        "run `trainbox fetch JOB` once with a network, without --offline and HF_HUB_OFFLINE",
    )


def needs_stack(source: DataSource) -> DataError:
    """Return the error for an environment that cannot read data sets of the hub."""
    return _error(
        source,
        "data-hub-needs-stack",
        f"this environment cannot download the data set `{source.path}`: it has no `datasets`",
        "with Docker: `trainbox fetch JOB --backend docker`; else TRAINBOX_LOCK=cpu make setup",
    )


def _status(error: BaseException) -> int | None:
    """Return the status with which the hub answered, where it did."""
    found = [getattr(getattr(one, "response", None), "status_code", None) for one in _causes(error)]
    return next((status for status in found if status is not None), None)


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and what led to it."""
    chain: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in chain:
        chain.append(one)
        one = one.__cause__ or one.__context__
    return chain


def raise_disk_fault(error: BaseException) -> None:
    """Raise the fault of the disk behind an error of a loader, if that is what it is."""
    for one in _causes(error):
        if isinstance(one, OSError) and one.errno in _DISK:
            raise one
