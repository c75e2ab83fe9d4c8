"""Base models of the Hugging Face hub: resolved to a commit once, kept in the hub's own cache.

A branch (or no revision) is resolved the first time and remembered in trainbox's cache with the
list of the commit's files, so that later commands need no network and a model that moves on the hub
does not change a job under way. `trainbox fetch --refresh` asks again.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

from runner import spec
from runner.base_model.cache import Say, growth_reported, readable_size, require_space
from runner.base_model.folder import (
    WEIGHTS,
    WEIGHTS_INDEX,
    ModelFolder,
    check_weights,
    read_config,
    require_tokenizer,
    weight_shards,
)
from runner.base_model.hashes import hash_files
from runner.base_model.hub_errors import (
    NotReachedError,
    arrived_damaged,
    no_weights,
    not_cached,
    require_trainable,
    translated,
)
from runner.record.layout import cache_root, user_cache

DESCRIBING = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template*",
    WEIGHTS_INDEX,
)
REQUEST_TIMEOUT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 10.0  # all attempts together, name look-up included
NUM_DOWNLOADS = 2  # a file that arrives damaged is asked for once more

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file of a commit."""

    num_bytes: int
    sha256: str | None  # known of the large ones


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What a revision of a repository was resolved to."""

    commit: str
    files: dict[str, HubFile]


def describe(model: spec.Model, *, offline: bool, say: Say) -> ModelFolder:
    """Have configuration and tokenizer of a model in the cache.

    Raises:
        PlanError: no such model or revision, no access, not a model this program can train, or the
            hub cannot be reached and the cache has not got it.
        BackendError: the disk is full.
    """
    resolution = _resolve(model, offline=offline)
    require_trainable(model.name_or_path, resolution.files)
    describing = [name for name in resolution.files if _is_describing(name, model)]
    _bring(model, resolution, describing, offline=offline, say=say)
    folder = _snapshot(model.name_or_path, resolution.commit)
    require_tokenizer(folder, model.name_or_path)
    return ModelFolder(
        public_name=model.name_or_path,
        revision=resolution.commit,
        folder=folder,
        config=read_config(folder),
        has_weights=not _absent(folder, resolution, _weight_names(folder, resolution)),
    )


def fetch(model: spec.Model, *, offline: bool, say: Say) -> ModelFolder:
    """Have a whole model in the cache, its weights verified by hash.

    Raises:
        PlanError, BackendError: as for `describe`, and the repository has no safetensors weights.
    """
    described = describe(model, offline=offline, say=say)
    resolution = _resolve(model, offline=offline)
    names = _weight_names(described.folder, resolution)
    if not names:
        raise no_weights(model.name_or_path, resolution.files)
    for attempt in range(1, NUM_DOWNLOADS + 1):
        _bring(model, resolution, names, offline=offline, say=say)
        damaged = _damaged(described.folder, resolution, names)
        if not damaged:
            break
        say(f"damaged: {', '.join(damaged)}")
        _discard(described.folder / name for name in damaged)
        if offline or attempt == NUM_DOWNLOADS:
            raise arrived_damaged(model.name_or_path, damaged)
    check_weights(described.folder)
    return replace(described, has_weights=True)


def weight_bytes(model: spec.Model, *, offline: bool) -> tuple[int, int]:
    """Return the bytes of a described model's weights, and of those not in the cache.

    Raises:
        PlanError: as for `describe`.
    """
    resolution = _resolve(model, offline=offline)
    folder = _snapshot(model.name_or_path, resolution.commit)
    names = _weight_names(folder, resolution)
    absent = _absent(folder, resolution, names)
    total, missing = (
        sum(max(resolution.files[name].num_bytes, 0) for name in group) for group in (names, absent)
    )
    return total, missing


def cached_snapshot(model: spec.Model) -> Path | None:
    """Return the folder in the hub's cache that a revision means here, None where it is absent."""
    resolution = _recall(model) or _from_cache(model)
    return _snapshot(model.name_or_path, resolution.commit) if resolution else None


def forget(model: spec.Model) -> None:
    """Forget what the revision was resolved to: the next command asks the hub again."""
    _memory(model).unlink(missing_ok=True)


# --- which commit -------------------------------------------------------------------------------


def _resolve(model: spec.Model, *, offline: bool) -> Resolution:
    """Return the remembered commit; else ask the hub; else take what the hub's cache has."""
    if remembered := _recall(model):
        return remembered
    if offline or _is_offline_by_environment():
        if cached := _from_cache(model):
            return cached
        raise not_cached(model, "offline")
    try:
        resolution = _within(CONNECT_TIMEOUT_SECONDS, lambda: _ask_hub(model))
    except NotReachedError as error:
        if cached := _from_cache(model):
            return cached
        raise not_cached(model, f"the hub was not reached: {error}") from error
    _remember(model, resolution)
    return resolution


def _ask_hub(model: spec.Model) -> Resolution:
    from huggingface_hub import HfApi  # 0.2 s, and only where the hub is needed

    with translated(model):
        info = HfApi(endpoint=_endpoint()).model_info(
            model.name_or_path,
            revision=model.revision,
            files_metadata=True,
            timeout=REQUEST_TIMEOUT_SECONDS,
        )
    assert info.sha is not None, "the hub always names the commit"
    return Resolution(
        commit=info.sha,
        files={
            sibling.rfilename: HubFile(
                num_bytes=sibling.size or 0, sha256=sibling.lfs.sha256 if sibling.lfs else None
            )
            for sibling in info.siblings or []
        },
    )


def _from_cache(model: spec.Model) -> Resolution | None:
    """Return what the hub's cache holds of a revision; whether that is all cannot be told."""
    repository = _repository(model.name_or_path)
    revision = model.revision or "main"
    reference = repository / "refs" / revision
    commit = reference.read_text().strip() if reference.is_file() else revision
    snapshot = repository / "snapshots" / commit
    if not snapshot.is_dir():
        return None
    files = {path.name: path for path in snapshot.iterdir() if path.is_file()}
    if WEIGHTS_INDEX in files and WEIGHTS not in files:  # shards that are absent must be missed
        files |= {name: snapshot / name for name in weight_shards(files[WEIGHTS_INDEX])}
    return Resolution(
        commit=commit,
        files={
            name: HubFile(num_bytes=path.stat().st_size if path.exists() else -1, sha256=None)
            for name, path in files.items()
        },
    )


def _memory(model: spec.Model) -> Path:
    revision = (model.revision or "default branch").replace("/", "--")
    return cache_root() / "hub" / model.name_or_path.replace("/", "--") / f"{revision}.json"


def _recall(model: spec.Model) -> Resolution | None:
    try:
        facts = json.loads(_memory(model).read_text(encoding="utf-8"))
        files = {name: HubFile(**file) for name, file in facts["files"].items()}
        return Resolution(commit=facts["commit"], files=files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _remember(model: spec.Model, resolution: Resolution) -> None:
    path = _memory(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}.tmp")
    aside.write_text(json.dumps(asdict(resolution), indent=1), encoding="utf-8")
    aside.replace(path)


# --- which files --------------------------------------------------------------------------------


def _is_describing(name: str, model: spec.Model) -> bool:
    if model.trust_remote_code and name.endswith(".py"):
        return True
    return "/" not in name and any(fnmatch(name, pattern) for pattern in DESCRIBING)


def _weight_names(folder: Path, resolution: Resolution) -> tuple[str, ...]:
    if WEIGHTS in resolution.files:
        return (WEIGHTS,)
    if WEIGHTS_INDEX in resolution.files:
        return weight_shards(folder / WEIGHTS_INDEX)
    return ()


def _absent(folder: Path, resolution: Resolution, names: Iterable[str]) -> list[str]:
    """Return the names of files that are not there, or not of their size."""
    return [
        name
        for name in names
        if not (folder / name).is_file()
        or (folder / name).stat().st_size != resolution.files[name].num_bytes
    ]


def _damaged(folder: Path, resolution: Resolution, names: Iterable[str]) -> list[str]:
    """Return the names of files whose hash is not the one the hub gave."""
    expected = {name: resolution.files[name].sha256 for name in names}
    known = {name: digest for name, digest in expected.items() if digest is not None}
    actual = hash_files(folder / name for name in known)
    return [name for name, digest in known.items() if actual[name] != digest]


def _discard(paths: Iterable[Path]) -> None:
    """Remove files of the hub's cache together with the blobs their links lead to."""
    for path in paths:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)


# --- bringing them ------------------------------------------------------------------------------


def _bring(
    model: spec.Model, resolution: Resolution, names: Iterable[str], *, offline: bool, say: Say
) -> None:
    """Have the named files of a commit in the hub's cache."""
    folder = _snapshot(model.name_or_path, resolution.commit)
    missing = _absent(folder, resolution, names)
    if not missing:
        return
    if offline or _is_offline_by_environment():
        raise not_cached(model, f"{', '.join(missing[:5])} absent; offline")
    _discard(folder / name for name in missing)
    repository = _repository(model.name_or_path)
    num_bytes = sum(max(resolution.files[name].num_bytes, 0) for name in missing)
    require_space(repository, num_bytes, purpose=model.name_or_path)
    say(f"downloading {len(missing)} files of {model.name_or_path} ({readable_size(num_bytes)})")
    with growth_reported(repository / "blobs", num_bytes, say=say):
        _download(model, resolution.commit, missing)


def _download(model: spec.Model, commit: str, names: list[str]) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    # its hints about tokens and links are not for this terminal
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    disable_progress_bars()
    try:
        with translated(model):
            snapshot_download(
                model.name_or_path,
                revision=commit,
                endpoint=_endpoint(),
                cache_dir=hub_cache(),
                allow_patterns=[re.sub(r"([*?[])", r"[\1]", name) for name in names],
                etag_timeout=REQUEST_TIMEOUT_SECONDS,
            )
    except NotReachedError as error:
        raise not_cached(model, f"the connection broke: {error}") from error


def _endpoint() -> str | None:
    """Return the hub's address, read now and not when huggingface_hub was imported."""
    return os.environ.get("HF_ENDPOINT") or None


def hub_cache() -> Path:
    """Return the hub's cache as huggingface_hub finds it, without importing that."""
    if explicit := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(os.path.expandvars(explicit)).expanduser().absolute()
    home = os.environ.get("HF_HOME") or str(user_cache() / "huggingface")
    return Path(os.path.expandvars(home)).expanduser().absolute() / "hub"


def _repository(name: str) -> Path:
    return hub_cache() / f"models--{name.replace('/', '--')}"


def _snapshot(name: str, commit: str) -> Path:
    return _repository(name) / "snapshots" / commit


def _is_offline_by_environment() -> bool:
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in {"1", "ON", "YES", "TRUE"}


def _within(seconds: float, call: Callable[[], Result]) -> Result:
    """Call, but wait no longer: a dead name server holds a look-up for half a minute."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:  # raised again below, in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise NotReachedError(f"no answer within {seconds:.0f} s")
    return results[0]
