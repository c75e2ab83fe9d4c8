"""From a row to what it says: a conversation, a plain text, or a preference pair.

| format | columns (inner keys) | becomes |
|---|---|---|
| messages | messages (role, content) | Chat |
| prompt_completion | prompt, completion: both strings, or both lists of messages | Text or Chat |
| alpaca | instruction, output, optional input, system, history | Chat; Text without template |
| sharegpt | conversations (from, value), optional system | Chat |
| preference | chosen, rejected, optional prompt: strings or lists of messages | Pair |
| text | text | Text |

Strings of prompt_completion and preference are plain text, as in TRL: no chat template around them.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from runner.data.checked_text import check_text, is_fine
from runner.data.faults import RowFault, kind_of, shown_name, shown_names
from runner.data.guess import format_hint, role_hint
from runner.data.pairs import chat_pair, is_same, is_scored_lower, text_pair
from runner.data.sample import Chat, Message, Sample, Text
from runner.spec import Format

EXPECTED: dict[Format, tuple[str, ...]] = {
    "messages": ("messages", "role", "content"),
    "prompt_completion": ("prompt", "completion", "role", "content"),
    "alpaca": ("instruction", "input", "output", "system", "history"),
    "sharegpt": ("conversations", "system", "from", "value"),
    "preference": ("prompt", "chosen", "rejected", "role", "content"),
    "text": ("text",),
}

# Columns that may say which rows are good; nothing reads them.
JUDGEMENTS = {
    "label", "labels", "is_correct", "correct", "flagged", "toxic", "is_good", "quality", "weight",
}  # fmt: skip
ROLES = {role: role for role in ("system", "user", "assistant", "tool")}
SHAREGPT_ROLES = {**ROLES, "human": "user", "gpt": "assistant", "observation": "tool"}

# The prompt of the Stanford Alpaca release (tatsu-lab/stanford_alpaca, train.py, PROMPT_DICT).
ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
ALPACA_NO_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n### Instruction:\n{instruction}\n\n### Response:"
)


class Converter:
    """Turns rows of one source into samples, and counts what it leaves out.

    Args:
        format: of the source.
        columns: expected name → name in the file.
        has_template: whether chats can be rendered; without, alpaca becomes its classic prompt.
    """

    def __init__(
        self, format: Format, columns: Mapping[str, str] | None, *, has_template: bool
    ) -> None:
        self.format = format
        self.names = {name: name for name in EXPECTED[format]} | dict(columns or {})
        self.has_template = has_template
        self.ignored_keys: Counter[str] = Counter()  # keys of a message that no text is made of
        self.ignored_columns: Counter[str] = Counter()  # that may say which rows are good
        self._judgements = JUDGEMENTS - set(self.names.values())
        self._num_read = 1 if format in ("messages", "sharegpt", "text") else 2
        self._convert: Callable[[dict[str, Any]], Sample] = getattr(self, f"_{format}")

    def __call__(self, row: dict[str, Any]) -> Sample:
        """Return what a row says.

        Raises:
            RowFault: the row is not of its format.
        """
        if len(row) > self._num_read and (unread := row.keys() & self._judgements):
            self.ignored_columns.update(unread)
        if row.get("tools") or row.get("functions"):
            raise RowFault("data-tools", shown_name("tools" if row.get("tools") else "functions"))
        return self._convert(row)

    def _messages(self, row: dict[str, Any]) -> Sample:
        return self._chat(self._required(row, "messages"), "messages")

    def _sharegpt(self, row: dict[str, Any]) -> Sample:
        turns = self._turns(
            self._required(row, "conversations"), "conversations", "from", "value", SHAREGPT_ROLES
        )
        system = self._optional_text(row, "system")
        if system and turns[0]["role"] != "system":
            turns.insert(0, {"role": "system", "content": system})
        return _with_assistant(Chat(turns))

    def _prompt_completion(self, row: dict[str, Any]) -> Sample:
        prompt, completion = self._required(row, "prompt"), self._required(row, "completion")
        if isinstance(prompt, str) and isinstance(completion, str):
            return Text(check_text(prompt, "prompt"), check_text(completion, "completion"))
        if not isinstance(prompt, list) or not isinstance(completion, list):
            name, value = (
                ("prompt", prompt) if not isinstance(prompt, str) else ("completion", completion)
            )
            if not isinstance(value, list):
                raise RowFault(
                    "data-wrong-type", f"{name} is a {kind_of(value)}, a string expected"
                )
        context, answer = self._side(prompt, "prompt"), self._side(completion, "completion")
        return _with_assistant(Chat(context + answer, num_context=len(context)))

    def _alpaca(self, row: dict[str, Any]) -> Sample:
        instruction = check_text(self._required(row, "instruction"), "instruction")
        output = check_text(self._required(row, "output"), "output")
        more = self._optional_text(row, "input")
        system = self._optional_text(row, "system")
        history = self._history(row)
        if not self.has_template:
            return _classic_alpaca(instruction, more, output, system, history)
        messages = [{"role": "system", "content": system}] if system else []
        messages += history
        question = f"{instruction}\n\n{more}" if more else instruction
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": output})
        return Chat(messages)

    def _history(self, row: dict[str, Any]) -> list[Message]:
        history = row.get(self.names["history"]) or []
        if not isinstance(history, list):
            raise RowFault("data-wrong-type", f"history is a {kind_of(history)}, a list expected")
        messages: list[Message] = []
        for index, pair in enumerate(history):
            field = f"history[{index}]"
            if not isinstance(pair, list) or len(pair) != 2:
                raise RowFault("data-wrong-type", f"{field} is not a pair of texts")
            for role, text in zip(("user", "assistant"), pair, strict=True):
                messages.append({"role": role, "content": check_text(text, field)})
        return messages

    def _preference(self, row: dict[str, Any]) -> Sample:
        chosen, rejected = self._required(row, "chosen"), self._required(row, "rejected")
        prompt = row.get(self.names["prompt"])
        if isinstance(chosen, str) and isinstance(rejected, str) and isinstance(prompt, str | None):
            pair = text_pair(prompt, chosen, rejected)
        else:
            pair = chat_pair(
                None if prompt is None else self._side(prompt, "prompt"),
                (self._side(chosen, "chosen"), self._side(rejected, "rejected")),
                is_bare=isinstance(prompt, str),
            )
        if is_same(pair):
            raise RowFault("data-same-pair")
        return replace(pair, is_scored_lower=True) if is_scored_lower(row) else pair

    def _text(self, row: dict[str, Any]) -> Sample:
        return Text("", check_text(self._required(row, "text"), "text"))

    def _required(self, row: dict[str, Any], name: str) -> Any:
        column = self.names[name]
        if column in row:
            return row[column]
        near = difflib.get_close_matches(column, list(row), n=1)
        hint = f"; nearest is {shown_name(near[0])}" if near else ""
        fix = format_hint(row, self.format)
        if any(_folded(key) == _folded(column) for key in row):
            hint = "; one of its columns differs from it in spaces or capitals alone"
            fix = fix or self._mapping(row)
        if not fix and not any(key.strip().isidentifier() for key in row):
            fix = "begin a table with a line that names its columns"
        raise RowFault(
            "data-missing-column",
            f"no {shown_name(column)}{hint}; the row has {shown_names(list(row))}",
            fix,
        )

    def _mapping(self, row: dict[str, Any]) -> str:
        """Return the line that reads columns in other capitals; '' where names have spaces."""
        known = {_folded(name): name for name in self.names}
        pairs = [f"{known[_folded(key)]}: {key}" for key in row if _folded(key) in known]
        if not all(key.isidentifier() for key in row):
            return ""
        return f"write `columns: {{{', '.join(pairs)}}}` at {{key}}"

    def _optional_text(self, row: dict[str, Any], name: str) -> str:
        value = row.get(self.names[name])
        if value is None or (isinstance(value, str) and not value.strip()):
            return ""
        return check_text(value, name)

    def _chat(self, value: Any, field: str) -> Chat:
        return _with_assistant(Chat(self._turns(value, field, "role", "content", ROLES)))

    def _side(self, value: Any, field: str) -> list[Message]:
        """Return one side of a pair as messages; a bare string is one turn."""
        if isinstance(value, str):
            role = "user" if field == "prompt" else "assistant"
            return [{"role": role, "content": check_text(value, field)}]
        return self._turns(value, field, "role", "content", ROLES)

    def _turns(
        self, value: Any, field: str, role_key: str, text_key: str, roles: Mapping[str, str]
    ) -> list[Message]:
        if not isinstance(value, list):
            is_encoded = isinstance(value, str) and value.lstrip().startswith(("[", "{"))
            raise RowFault(
                "data-wrong-type",
                f"{field} is a {kind_of(value)}, a list expected",
                "decode it: the column holds JSON as a string (json.loads)" if is_encoded else "",
            )
        if not value:
            raise RowFault("data-empty-content", f"{field} is an empty list")
        role_key, text_key = self.names.get(role_key, role_key), self.names.get(text_key, text_key)
        turns = []
        for index, turn in enumerate(value):
            if type(turn) is dict and len(turn) == 2:  # nine rows of ten, at a third of the time
                role, text = turn.get(role_key), turn.get(text_key)
                if type(role) is str and role in roles and type(text) is str and is_fine(text):
                    turns.append({"role": roles[role], "content": text})
                    continue
            if not isinstance(turn, dict):
                kind = f"{field}[{index}] is a {kind_of(turn)}, an object expected"
                raise RowFault("data-wrong-type", kind)
            turns.append(self._turn(turn, f"{field}[{index}]", role_key, text_key, roles))
        return turns

    def _turn(
        self,
        turn: dict[str, Any],
        field: str,
        role_key: str,
        text_key: str,
        roles: Mapping[str, str],
    ) -> Message:
        if turn.get("tool_calls") or turn.get("function_call"):
            raise RowFault("data-tools", field)
        if role_key not in turn or text_key not in turn:
            missing = role_key if role_key not in turn else text_key
            keys = shown_names(list(turn))
            raise RowFault(
                "data-missing-column",
                f"{field} has no {shown_name(missing)}; it has {keys}",
                format_hint({field.partition("[")[0]: [turn]}, self.format),
            )
        role = turn[role_key]
        if not isinstance(role, str) or role not in roles:
            hint = role_hint(role) if isinstance(role, str) else ""
            raise RowFault("data-unknown-role", f"{field}.{role_key} is {shown_name(role)}", hint)
        if len(turn) > 2:
            unread = (key for key in turn if key not in (role_key, text_key))
            self.ignored_keys.update(key for key in unread if turn[key] is not None)
        return {"role": roles[role], "content": check_text(turn[text_key], f"{field}.{text_key}")}


def _folded(name: str) -> str:
    return name.strip(" \t\ufeff").lower()


def unknown_columns(format: Format, columns: Mapping[str, str] | None) -> list[str]:
    """Return the keys of a column map that the format does not know."""
    return [name for name in columns or {} if name not in EXPECTED[format]]


def _with_assistant(chat: Chat) -> Chat:
    if any(turn["role"] == "assistant" for turn in chat.messages[chat.num_context :]):
        return chat
    raise RowFault("data-no-assistant")


def _classic_alpaca(
    instruction: str, more: str, output: str, system: str, history: list[Message]
) -> Text:
    if history:
        raise RowFault("data-template", "history needs a chat template, and the model has none")
    form = ALPACA_WITH_INPUT if more else ALPACA_NO_INPUT
    prompt = form.format(instruction=instruction, input=more)
    return Text(f"{system}\n\n{prompt}" if system else prompt, output)
