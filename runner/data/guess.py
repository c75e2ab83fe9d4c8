"""Which line in the job would read a row that is not of the format the job says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NEEDED: dict[str, tuple[str, ...]] = {
    "preference": ("chosen", "rejected"),
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "alpaca": ("instruction", "output"),
    "prompt_completion": ("prompt", "completion"),
    "text": ("text",),
}
_QUESTIONS = ("instruction", "prompt", "question", "query", "input", "problem", "user", "human")
_ANSWERS = ("output", "completion", "response", "answer", "target", "solution", "assistant", "gpt")
_ROLES = {
    "human": "user",
    "customer": "user",
    "patient": "user",
    "question": "user",
    "bot": "assistant",
    "gpt": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    "assistent": "assistant",
    "doctor": "assistant",
    "answer": "assistant",
    "developer": "system",
    "function": "tool",
    "observation": "tool",
}


def format_hint(row: Mapping[str, Any], format: str) -> str:
    """Return what to write into the job to read such rows, or ''; {key} is the source's place.

    Args:
        row: without a column that its format needs.
        format: of the job.
    """
    if "input_ids" in row:
        return "give the texts: the rows hold token ids, and no text can be proved from them"
    for name, needed in _NEEDED.items():
        if name == format or not all(column in row for column in needed):
            continue
        if name in ("messages", "sharegpt"):
            return _staged(_turns_hint(needed[0], row[needed[0]], format), format)
        stage = " and `stage: dpo`" if name == "preference" else ""
        hint = _staged(f"write `format: {name}` at {{key}}{stage}", format)
        return f"{hint}: the rows have its columns"
    for column, value in row.items():
        if column.isidentifier() and (hint := _turns_hint(column, value, format)):
            return _staged(hint, format)
    question = next((name for name in _QUESTIONS if name in row), None)
    answer = next((name for name in _ANSWERS if name in row), None)
    if question and answer:
        columns = f"{{instruction: {question}, output: {answer}}}"
        return _staged(f"write `format: alpaca` and `columns: {columns}` at {{key}}", format)
    return ""


def _staged(hint: str, format: str) -> str:
    """Return a hint with the stage of rows that are no pairs, where the job trains on pairs."""
    return f"{hint} and `stage: sft`" if hint and format == "preference" else hint


def _turns_hint(column: str, value: Any, format: str) -> str:
    """Return how to read a column that holds turns, or ''."""
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return ""
    keys = value[0].keys()
    if keys >= {"role", "content"}:
        name, column_map = "messages", f"{{messages: {column}}}"
    elif keys >= {"from", "value"}:
        name, column_map = "sharegpt", f"{{conversations: {column}}}"
    else:
        return ""
    parts = [f"`format: {name}`"] * (format != name)
    parts += [f"`columns: {column_map}`"] * (column not in ("messages", "conversations"))
    if (name, column) in (("messages", "conversations"), ("sharegpt", "messages")):
        parts.append(f"`columns: {column_map}`")
    return f"write {' and '.join(parts)} at {{key}}" if parts else ""


def role_hint(role: str) -> str:
    """Return the role that a name may mean, as a fix, or ''."""
    name = role.strip().lower()
    known = name if name in ("system", "user", "assistant", "tool") else _ROLES.get(name)
    return f"write `{known}` for `{role.strip()}`" if known else ""
