"""`--set key=value`: an override is a small YAML value put at one place of the job's data."""

from __future__ import annotations

import re
from typing import Any

from runner.errors import JobError
from runner.load.document import Document, KeyPath, Place, parse

_KEY = re.compile(r"[^.\[\]=\s]+(\[[0-9]{1,4}\])*(\.[^.\[\]=\s]+(\[[0-9]{1,4}\])*)*")
_PART = re.compile(r"\[([0-9]+)\]|[^.\[\]]+")


def key_path(key: str) -> KeyPath:
    """Split `data.train[0].path` into its parts."""
    return tuple(
        int(match.group(1)) if match.group(1) else match.group(0) for match in _PART.finditer(key)
    )


def key_text(path: KeyPath) -> str:
    """Join the parts of a path: the opposite of `key_path`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def apply(document: Document, override: str) -> None:
    """Put the value of one `--set key=value` into the document, creating sections on the way.

    Raises:
        JobError, Faults: no `=`, a key that leads nowhere, or a value that is not YAML.
    """
    key, equals, text = override.partition("=")
    key = key.strip()
    where = f"--set {key}=…"
    if not equals or not _KEY.fullmatch(key):
        raise JobError(
            id="job-override",
            what="an override is not of the form key=value",
            where="--set",
            why="it is not clear what to change",
            fix="write, for example, `--set train.learning_rate=1e-4`",
        )
    path = key_path(key)
    parsed = parse(text, where) if text.strip() else parse("''", where)
    _forget(document, path)
    _put(document, path, parsed.data, where)
    for below, place in parsed.places.items():
        document.places[path + below] = place


def _put(document: Document, path: KeyPath, value: Any, where: str) -> None:
    node = document.data
    for depth, part in enumerate(path):
        is_last = depth == len(path) - 1
        following = path[depth + 1] if not is_last else None
        fresh: Any = value if is_last else [] if isinstance(following, int) else {}
        _require_container(node, path, depth, where)
        if isinstance(part, int):
            if part == len(node):
                node.append(fresh)
        elif node.get(part) is None:
            node[part] = fresh
        if is_last:
            node[part] = value
        document.places.setdefault(path[: depth + 1], Place(where))
        node = node[part]


def _require_container(node: Any, path: KeyPath, depth: int, where: str) -> None:
    """Check that `path[depth]` can be looked up in the node."""
    part, above = path[depth], key_text(path[:depth])
    if isinstance(part, int):
        if not isinstance(node, list):
            raise _dead_end(where, f"`{above}` is not a list", f"write `--set {above}=…`")
        if part > len(node):
            raise _dead_end(
                where,
                f"`{above}` has {len(node)} items, so there is no [{part}]",
                f"the next free place is `{above}[{len(node)}]`",
            )
    elif isinstance(node, list):
        rest = key_text(path[depth:])
        raise _dead_end(
            where, f"`{above}` is a list", f"name the item: `--set {above}[0].{rest}=…`"
        )
    elif not isinstance(node, dict):
        raise _dead_end(where, f"`{above}` is a value, not a section", f"write `--set {above}=…`")


def _dead_end(where: str, what: str, fix: str) -> JobError:
    return JobError(
        id="job-override",
        what=f"an override leads nowhere: {what}",
        where=where,
        why="the value would have no place in the job",
        fix=fix,
    )


def _forget(document: Document, path: KeyPath) -> None:
    """Drop the places below a path that is about to be replaced."""
    for place in [known for known in document.places if known[: len(path)] == path]:
        del document.places[place]
