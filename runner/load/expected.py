"""What a key of the job accepts, in words; read from the job's JSON Schema.

The same words stand in the errors and in the reference (docs/jobs.md).
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from runner import spec
from runner.load.document import KeyPath
from runner.spec import Job

JsonSchema = dict[str, Any]


@dataclass(frozen=True)
class Key:
    """One key of the job."""

    path: str  # `train.learning_rate`; an item of a list is `data.train[0].path`
    schema: JsonSchema
    is_required: bool

    @property
    def is_section(self) -> bool:
        return "properties" in self.schema

    @property
    def description(self) -> str:
        return str(self.schema.get("description", ""))

    @property
    def expected(self) -> str:
        """Return what it accepts: `a whole number of at least 1, or auto`."""
        return describe(self.schema)


def described_schema() -> JsonSchema:
    """Return the JSON Schema of a job as pydantic makes it, with the sentence of every key."""
    schema = Job.model_json_schema()
    sections = schema["$defs"] | {"Job": schema}
    for class_name, sentences in sentences_of_spec().items():
        for name, sentence in sentences.items():
            key = sections[class_name]["properties"][name]
            target = key.get("$ref", "").rpartition("/")[2]
            if not target or sections[target].get("description") != sentence:
                key["description"] = sentence
    return schema


def sentences_of_spec() -> dict[str, dict[str, str]]:
    """Return class → key → the sentence beneath it in runner/spec.py."""
    found: dict[str, dict[str, str]] = {}
    for section in ast.parse(inspect.getsource(spec)).body:
        if isinstance(section, ast.ClassDef):
            found[section.name] = {
                key.target.id: inspect.cleandoc(str(below.value.value))
                for key, below in pairwise(section.body)
                if isinstance(key, ast.AnnAssign)
                and isinstance(key.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            }
    return found


@cache
def job_schema() -> JsonSchema:
    """Return the JSON Schema of a job, every reference replaced by what it points at."""
    raw = described_schema()
    definitions = raw.pop("$defs")

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        node = {key: inline(value) for key, value in node.items()}
        if reference := node.pop("$ref", None):
            return inline(definitions[reference.rpartition("/")[2]]) | node
        return node

    result: JsonSchema = inline(raw)
    return result


def all_keys() -> Iterator[Key]:
    """Yield every key of the job in the order of the specification, sections before their keys."""
    yield from _keys_of(job_schema(), "")


def _keys_of(schema: JsonSchema, section: str) -> Iterator[Key]:
    for name, child in schema["properties"].items():
        path = f"{section}.{name}" if section else name
        yield Key(path, child, name in schema.get("required", ()))
        if "properties" in child:
            yield from _keys_of(child, path)
        for kind in alternatives(child):
            if "properties" in kind.get("items", {}):
                yield from _keys_of(kind["items"], f"{path}[0]")


@cache
def keys_by_section() -> dict[str, tuple[str, ...]]:
    """Return section → names of its keys; the top is ``, an item `data.train[0]`."""
    sections: dict[str, list[str]] = {}
    for key in all_keys():
        section, _, name = key.path.rpartition(".")
        sections.setdefault(section, []).append(name)
    return {section: tuple(names) for section, names in sections.items()}


def schema_at(path: KeyPath) -> JsonSchema:
    """Return the schema of the value at a path; empty where the path leads out of the job."""
    node = job_schema()
    for part in path:
        if isinstance(part, int):
            node = next((v["items"] for v in alternatives(node) if "items" in v), {})
        else:
            node = node.get("properties", {}).get(part) or {}
    return node


def alternatives(schema: JsonSchema) -> list[JsonSchema]:
    """Return the kinds of value a schema accepts, one schema each."""
    found: list[JsonSchema] = schema.get("anyOf", [schema])
    return found


def choices(schema: JsonSchema) -> list[str]:
    """Return the words a schema accepts, such as `auto`."""
    words: list[str] = []
    for kind in alternatives(schema):
        words += kind.get("enum", [kind["const"]] if "const" in kind else [])
    return words


def accepts(schema: JsonSchema, *types: str) -> bool:
    """Return whether a schema accepts values of one of the JSON types, choices left aside."""
    return any(
        kind.get("type") in types and "enum" not in kind and "const" not in kind
        for kind in alternatives(schema)
    )


def describe(schema: JsonSchema) -> str:
    """Return what a schema accepts, in words."""
    *words, last = [_describe_kind(kind) for kind in alternatives(schema)]
    if not words:
        return last
    if any(" or " in word for word in words):
        return ", ".join(words) + ", or " + last
    return ", ".join(words) + (", " if " or " in last else " or ") + last


def _describe_kind(kind: JsonSchema) -> str:
    if "enum" in kind:
        return ", ".join(f"`{word}`" for word in kind["enum"][:-1]) + f" or `{kind['enum'][-1]}`"
    if "const" in kind:
        return f"`{kind['const']}`"
    name = kind.get("type")
    if name == "array":
        inner = kind.get("items", {})
        return "a list of " + ("sections" if "properties" in inner else "names")
    if name == "object":
        return "a section (keys below it)" if "properties" in kind else "a mapping of names"
    if name == "string":
        return _TEXTS.get(kind.get("pattern", ""), "text")
    if name in ("integer", "number"):
        return ("a whole number" if name == "integer" else "a number") + _range(kind)
    return {"boolean": "true or false", "null": "null"}.get(str(name), "a value")


_TEXTS = {
    r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$": "lower-case letters, digits and dashes (at most 64)",
    r"^[1-9][0-9]*(s|m|h|d)$": "a duration such as 90s, 30m, 12h or 2d",
    r"^[A-Z_][A-Z0-9_]*$": "the name of an environment variable",
}


def _range(kind: JsonSchema) -> str:
    low, above = kind.get("minimum"), kind.get("exclusiveMinimum")
    high, below = kind.get("maximum"), kind.get("exclusiveMaximum")
    if low is not None and low == high:
        return f": {low}"
    limits = []
    if low is not None:
        limits.append(f"of at least {low:g}" if isinstance(low, float) else f"of at least {low}")
    if above is not None:
        limits.append(f"above {above:g}")
    if high is not None:
        limits.append(f"at most {high:g}" if isinstance(high, float) else f"at most {high}")
    if below is not None:
        limits.append(f"below {below:g}")
    return f" {' and '.join(limits)}" if limits else ""
