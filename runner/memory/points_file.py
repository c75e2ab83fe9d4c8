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


def read_rows(file: Path) -> Iterator[Row]:
    """Yield the points, then the verdicts.

    Raises:
        PlanError: the file is not readable, no YAML, or a row has no id or one used before.
    """
    loader = yaml.CSafeLoader(_text(file))
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise _not_points(file, 1, "its top is not a mapping")
        sections = {key.value: value for key, value in root.value}
        seen: set[str] = set()
        for name in SECTIONS:
            for node in getattr(sections.get(name), "value", []):
                row = _row(node, file, loader)
                if row.id in seen:
                    raise _not_points(file, row.line, f"the id {row.id!r} was used before")
                seen.add(row.id)
                yield row
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise _not_points(file, line, str(error.problem)) from error
    finally:
        loader.dispose()


def _row(node: yaml.Node, file: Path, loader: yaml.CSafeLoader) -> Row:
    line = node.start_mark.line + 1
    fields = loader.construct_object(node, deep=True)
    if not isinstance(fields, dict) or not isinstance(node, yaml.MappingNode):
        raise _not_points(file, line, "a row is not a mapping")
    if "id" not in fields:
        raise _not_points(file, line, "a row has no `id`")
    lines = {key.value: key.start_mark.line + 1 for key, _ in node.value}
    return Row(id=str(fields["id"]), fields=fields, file=file, line=line, lines=lines)


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
