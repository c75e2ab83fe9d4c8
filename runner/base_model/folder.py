"""A model folder in the layout of the hub: what is in it, and whether it is whole."""

from __future__ import annotations

import difflib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import PlanError, Where

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
GIT_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A base model on this machine."""

    public_name: str  # hub id, or a folder's name; never a path
    revision: str | None  # hub commit, or the package's version; None for a local folder
    folder: Path  # absolute; holds config.json and tokenizer.json
    config: dict[str, Any]  # config.json
    has_weights: bool  # all weight files are there


def describe_folder(name: str) -> ModelFolder:
    """Describe a local folder.

    Raises:
        PlanError: no such folder, not a model, without a fast tokenizer, or with damaged weights.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise _no_folder(folder)
    folder = folder.resolve()
    config = read_config(folder)
    require_tokenizer(folder, folder.name)
    return ModelFolder(
        public_name=_public_name(config, folder),
        revision=None,
        folder=folder,
        config=config,
        has_weights=check_weights(folder),
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json.

    Raises:
        PlanError: it is missing, or is not the configuration of a transformers model.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise _no_config(folder)
    config = _read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise PlanError(
            id="model-config-invalid",
            what="config.json names no `model_type`",
            where=Where(file=path),
            why="transformers could not tell which model this is",
            fix="save the model with `save_pretrained`, or name its folder on the hub",
        )
    return config


def require_tokenizer(folder: Path, name: str) -> None:
    """Raise unless tokenizer.json is there; `name` is what the user calls the model."""
    if (folder / "tokenizer.json").is_file():
        return
    slow = [file for file in ("tokenizer.model", "vocab.json") if (folder / file).is_file()]
    raise PlanError(
        id="model-tokenizer-missing",
        what=f"{name} has {f'{slow[0]} but ' if slow else ''}no tokenizer.json",
        where=str(folder),
        why="the data is tokenised and proved from tokenizer.json before anything is started",
        fix='write one: python -c "from transformers import AutoTokenizer as T; '
        "T.from_pretrained('FOLDER').save_pretrained('FOLDER')\""
        if slow
        else "copy tokenizer.json and tokenizer_config.json into the folder",
    )


def check_weights(folder: Path) -> bool:
    """Say whether safetensors weights are there; read their headers, not the tensors.

    Raises:
        PlanError: only pickled weights, a shard is missing, or a file is cut off.
    """
    names = _weight_files(folder)
    if not names:
        if any((folder / name).is_file() for name in PICKLES):
            raise _only_pickles(folder)
        return False
    if missing := [name for name in names if not (folder / name).is_file()]:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if missing[5:] else "")
        raise PlanError(
            id="model-weights-missing",
            what=f"{len(missing)} of {len(names)} weight files are missing: {shown}",
            where=Where(file=folder / WEIGHTS_INDEX),
            why="the model could not be loaded, or only with random weights in their place",
            fix="download or copy the missing files",
        )
    for name in names:
        _check_safetensors(folder / name)
    return True


def weight_shards(index: Path) -> tuple[str, ...]:
    """Return the file names an index of shards lists, each once.

    Raises:
        PlanError: it is not an index.
    """
    weight_map = _read_json(index)
    weight_map = weight_map.get("weight_map") if isinstance(weight_map, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise PlanError(
            id="model-index-invalid",
            what=f"{index.name} has no `weight_map`",
            where=Where(file=index),
            why="it should say which weights are in which file",
            fix="copy the file again from where the model came from",
        )
    return tuple(sorted({str(name) for name in weight_map.values()}))


def _weight_files(folder: Path) -> tuple[str, ...]:
    if (folder / WEIGHTS).is_file():
        return (WEIGHTS,)  # transformers looks for the single file first
    if (folder / WEIGHTS_INDEX).is_file():
        return weight_shards(folder / WEIGHTS_INDEX)
    return ()


def _check_safetensors(path: Path) -> None:
    """Raise if a file is shorter or longer than its header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        num_header_bytes = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        header = file.read(num_header_bytes) if num_header_bytes <= size else b""
    if (start + header).startswith(GIT_LFS_POINTER[:8]):
        raise PlanError(
            id="model-weights-pointer",
            what=f"{path.name} is a Git LFS pointer of {size} bytes, not the weights",
            where=Where(file=path),
            why="the repository was cloned without its large files",
            fix=f"run `git lfs pull` in {path.parent.name}",
        )
    try:
        tensors = json.loads(header)
        ends = [facts["data_offsets"][1] for name, facts in tensors.items() if name[:2] != "__"]
        expected = 8 + num_header_bytes + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError):
        expected = None
    if size != expected:
        should = "its header cannot be read" if expected is None else f"should have {expected:,}"
        raise PlanError(
            id="model-weights-damaged",
            what=f"{path.name} has {size:,} bytes; {should}",
            where=Where(file=path),
            why="a download or copy stopped half-way: the model could not be loaded",
            fix="download or copy the file again",
        )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise PlanError(
            id="model-file-invalid",
            what=f"{path.name} is not JSON",
            where=Where(file=path, line=getattr(error, "lineno", None)),
            why="the model cannot be described",
            fix="copy the file again from where the model came from",
        ) from error


def _public_name(config: dict[str, Any], folder: Path) -> str:
    """Return the hub id the configuration remembers, else the folder's name: never a path."""
    for key in ("_name_or_path", "base"):
        if is_hub_id(name := config.get(key)) and "/" in str(name):
            return str(name)
    return folder.name


def is_hub_id(name: object) -> bool:
    """Say whether a name has the form of a hub id, `org/model` or `model`."""
    if not isinstance(name, str) or name.startswith(("/", ".", "~")):
        return False
    parts = name.split("/")
    return len(parts) <= 2 and all(
        part and all(sign.isalnum() or sign in "-_." for sign in part) for part in parts
    )


def _no_folder(folder: Path) -> PlanError:
    if folder.is_file():
        return PlanError(
            id="model-not-a-folder",
            what=f"`{folder}` is a file, not a model folder",
            why="a model is a folder with config.json, tokenizer.json and *.safetensors",
            fix="name the folder, or the model's name on the hub",
        )
    siblings = [p.name for p in folder.parent.iterdir()] if folder.parent.is_dir() else []
    near = difflib.get_close_matches(folder.name, siblings, n=1)
    return PlanError(
        id="model-folder-missing",
        what=f"there is no folder `{folder}`",
        why="it should hold the base model (relative paths start at the working directory)",
        fix=f"write `{folder.parent / near[0]}`" if near else "correct model.name_or_path",
    )


def _no_config(folder: Path) -> PlanError:
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        facts = _read_json(adapter)
        base = facts.get("base_model_name_or_path") if isinstance(facts, dict) else None
        shown = f"`{base}`" if is_hub_id(base) else "the model it was trained on"
        return PlanError(
            id="model-is-adapter",
            what=f"{folder.name} is an adapter, not a base model",
            where=Where(file=adapter),
            why="training starts from a whole model",
            fix=f"set model.name_or_path to {shown}",
        )
    gguf = next(folder.glob("*.gguf"), None)
    return PlanError(
        id="model-config-missing",
        what=f"{folder.name} has {'only a GGUF file and ' if gguf else ''}no config.json",
        where=str(folder),
        why="without it the model's architecture is unknown",
        fix="name a folder written by `save_pretrained`, or the model's name on the hub",
    )


def _only_pickles(folder: Path) -> PlanError:
    return PlanError(
        id="model-weights-pickled",
        what=f"{folder.name} has its weights as pytorch_model.bin alone",
        where=str(folder),
        why="such a file is a pickle: reading it can run code, and its bytes cannot be checked",
        fix='convert it once: python -c "from transformers import AutoModelForCausalLM as M; '
        "M.from_pretrained('FOLDER').save_pretrained('FOLDER')\"",
    )
