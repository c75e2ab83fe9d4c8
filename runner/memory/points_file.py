"""Reads a file of measured runs, with the line of every field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from runner.errors import PlanError, Where

SECTIONS = ("points", "verdicts")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured run."""

    id: str
    fields: Mapping[str, Any]
    file: Path
    line: int
    lines: Mapping[str, int]  # field → line

    def where(self, field: str) -> Where:
        """Return the place of a field (`quant.type` stands at `quant`), or of the row."""
        return Where(file=self.file, line=self.lines.get(field.partition(".")[0], self.line))


def read_rows(file: Path) -> Iterator[Row | PlanError]:
    """Yield the points, then the verdicts; in place of a row that is none, what is wrong with it.

    Raises:
        PlanError: the file is not readable, or no YAML of such rows.
    """
    loader = yaml.CSafeLoader(_text(file))
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise _not_points(file, 1, "its top is not a mapping")
        sections = {key.value: value for key, value in root.value if _is_text(key)}
        seen: set[str] = set()
        for name in SECTIONS:
            for node in _nodes(sections.get(name), file, name):
                try:
                    yield _row(node, file, loader, seen)
                except PlanError as error:
                    yield error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise _not_points(file, line, str(error.problem)) from error
    finally:
        loader.dispose()


def _nodes(section: yaml.Node | None, file: Path, name: str) -> list[yaml.Node]:
    """Return the rows of a section; one that is absent or empty has none."""
    if section is None or section.tag.endswith(":null"):
        return []
    if not isinstance(section, yaml.SequenceNode):
        raise _not_points(file, section.start_mark.line + 1, f"`{name}` is not a list")
    return list(section.value)


def _row(node: yaml.Node, file: Path, loader: yaml.CSafeLoader, seen: set[str]) -> Row:
    line = node.start_mark.line + 1
    try:
        fields = loader.construct_object(node, deep=True)
    except (yaml.MarkedYAMLError, ValueError) as error:
        raise _not_points(file, line, f"a row cannot be read: {error}") from error
    if not isinstance(fields, dict) or not isinstance(node, yaml.MappingNode):
        raise _not_points(file, line, "a row is not a mapping")
    if fields.get("id") is None:
        raise _not_points(file, line, "a row has no `id`")
    if (id := str(fields["id"])) in seen:
        raise _not_points(file, line, f"the id {id!r} was used before")
    seen.add(id)
    lines = {key.value: key.start_mark.line + 1 for key, _ in node.value if _is_text(key)}
    return Row(id=id, fields=fields, file=file, line=line, lines=lines)


def _is_text(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _not_points(file, None, str(error)) from error


def _not_points(file: Path, line: int | None, why: str) -> PlanError:
    return PlanError(
        id="plan-points-file",
        what=f"not a file of measured runs: {why}",
        where=Where(file=file, line=line),
        why="without its rows nothing can be predicted",
        fix="write `points:` and `verdicts:`, lists of rows, as in docs/memory.md",
    )
