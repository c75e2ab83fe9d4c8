"""The configuration of a base model where it is on this machine already; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runner import spec
from runner.base_model.folder import is_hub_id, read_config


def config_at_hand(model: spec.Model) -> dict[str, Any] | None:
    """Return config.json from the model's folder or the cache, None where neither has it.

    Raises:
        PlanError: it is there, and is no configuration.
    """
    folder = _folder(model)
    return read_config(folder) if folder and (folder / "config.json").is_file() else None


def _folder(model: spec.Model) -> Path | None:
    name = model.name_or_path
    if name.startswith("package:"):
        from runner.base_model import package  # pip, zip: 20 ms that other models need not wait

        return package.find(name).folder
    folder = Path(name).expanduser()
    if folder.is_dir() or not is_hub_id(name):
        return folder
    from runner.base_model import hub  # as above

    return hub.cached_snapshot(model)
