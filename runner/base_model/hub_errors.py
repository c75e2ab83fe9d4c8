"""What can go wrong with a model of the hub, in words a person can act on."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Collection, Iterator

from runner import spec
from runner.base_model.folder import PICKLES
from runner.errors import BackendError, PlanError, TrainboxError

LOG_IN = "run `hf auth login` (or set HF_TOKEN)"


class NotReachedError(Exception):
    """The hub did not answer, or not as a hub; what the cache holds may still do."""


@contextlib.contextmanager
def translated(model: spec.Model) -> Iterator[None]:
    """Turn what huggingface_hub raises into a TrainboxError or NotReachedError."""
    import httpx2
    from huggingface_hub import errors

    name = model.name_or_path
    try:
        yield
    except errors.GatedRepoError as error:
        raise _gated(name, error.response.status_code) from error
    except errors.RepositoryNotFoundError as error:
        raise _no_repository(name) from error
    except errors.RevisionNotFoundError as error:
        raise _no_revision(name, model.revision) from error
    except errors.HFValidationError as error:
        raise _no_repository(name) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status == 401 and "authorization" in error.response.request.headers:
            raise _token_refused(name) from error
        if status in (401, 403):
            raise _refused(name, status) from error
        raise NotReachedError(f"it answered with status {status}") from error
    except (httpx2.HTTPError, errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        raise NotReachedError(_one_line(error)) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(name) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise _not_writable(error) from error
        raise NotReachedError(_one_line(error)) from error
    except (ValueError, KeyError, TypeError) as error:  # a login page, or JSON of someone else
        raise NotReachedError("something else than the hub answered") from error


def _one_line(error: Exception) -> str:
    text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return re.sub(r"//[^@/\s]+@", "//", text.strip())[:200]


def _gated(name: str, status: int) -> TrainboxError:
    has_token = status != 401
    asked = "your account has not been given access" if has_token else "no token was sent"
    accept = f"accept its terms at https://huggingface.co/{name}"
    return PlanError(
        id="model-gated",
        what=f"{name} is gated, and {asked}",
        why="the hub gives it only to accounts that have accepted its terms",
        fix=f"{accept} (access may take a while)" if has_token else f"{accept}, then {LOG_IN}",
    )


def _no_repository(name: str) -> TrainboxError:
    return PlanError(
        id="model-not-found",
        what=f"there is no folder `{name}` here, and the hub has no such model for you",
        why="the base model decides everything else",
        fix=f"correct model.name_or_path; if the model is private, {LOG_IN}",
    )


def _no_revision(name: str, revision: str | None) -> TrainboxError:
    return PlanError(
        id="model-revision-not-found",
        what=f"{name} has no revision `{revision}` on the hub",
        why="another revision is another model",
        fix="correct model.revision: a branch, tag or commit; null takes the default branch",
    )


def _token_refused(name: str) -> TrainboxError:
    return PlanError(
        id="model-token-refused",
        what=f"the hub does not accept your token, asked for {name}",
        why="it has expired, was revoked, or is not written whole",
        fix="make a new one at https://huggingface.co/settings/tokens, then `hf auth login` "
        "(HF_TOKEN, where it is set, comes before the login)",
    )


def _refused(name: str, status: int) -> TrainboxError:
    return PlanError(
        id="model-access-refused",
        what=f"the hub refused {name} with status {status}",
        why="no token was sent, or it is one for other repositories or scopes",
        fix=f"{LOG_IN} with a token that may read {name}",
    )


def _disk_full(name: str) -> TrainboxError:
    return BackendError(
        id="cache-disk-full",
        what=f"no space left for {name}",
        why="the download stopped half-way; the next one continues it",
        fix="free some space, or set HF_HOME to a larger disk",
    )


def _not_writable(error: OSError) -> TrainboxError:
    return BackendError(
        id="cache-not-writable",
        what=f"the hub's cache cannot be written ({error.strerror})",
        where=str(error.filename) if error.filename else None,
        why="models are downloaded there once and used by all runs",
        fix="set HF_HOME to a folder you can write",
    )


def not_cached(model: spec.Model, reason: str) -> TrainboxError:
    """Return the error for a model that is not here and cannot be had now."""
    name = model.name_or_path
    return PlanError(
        id="model-not-cached",
        what=f"{name} is neither a folder here nor in the hub's cache; {reason}",
        why="the model can neither be described nor trained without its files",
        fix="with a network, run `trainbox fetch JOB` once; if you mean a folder, write "
        f"`./{name}`",
    )


def arrived_damaged(name: str, files: Collection[str]) -> TrainboxError:
    """Return the error for files whose hash is wrong even after a second download."""
    return BackendError(
        id="model-hash-mismatch",
        what=f"{', '.join(files)} of {name} has another SHA-256 than the hub gave",
        why="a proxy or a failing disk changed the bytes; the damaged file was removed",
        fix="run the same command again; then suspect the disk (`dmesg`) or the mirror",
    )


def no_weights(name: str, files: Collection[str]) -> TrainboxError:
    """Return the error for a repository without safetensors weights."""
    if any(pickle in files for pickle in PICKLES):
        return PlanError(
            id="model-weights-pickled",
            what=f"{name} has its weights as pytorch_model.bin alone",
            why="such a file is a pickle: reading it can run code, and its bytes cannot be checked",
            fix="set model.revision to one with safetensors (often refs/pr/N), or convert it to a "
            "folder with `save_pretrained`",
        )
    return PlanError(
        id="model-weights-absent",
        what=f"{name} has no model.safetensors",
        why="there is nothing to train",
        fix="name the repository that holds the model in the format of transformers",
    )


def require_trainable(name: str, files: Collection[str]) -> None:
    """Raise if a repository is not a transformers model with a fast tokenizer."""
    if "config.json" in files:
        return
    if "adapter_config.json" in files:
        raise PlanError(
            id="model-is-adapter",
            what=f"{name} is an adapter, not a base model",
            why="training starts from a whole model",
            fix="set model.name_or_path to the base model its page names",
        )
    only_gguf = any(file.endswith(".gguf") for file in files)
    raise PlanError(
        id="model-config-missing",
        what=f"{name} has {'only GGUF files and ' if only_gguf else ''}no config.json",
        why="without it the model's architecture is unknown",
        fix="name the repository that holds the model in the format of transformers",
    )
