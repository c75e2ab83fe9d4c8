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

from runner.data.faults import RowFault, kind_of, shown_name, shown_names
from runner.data.guess import format_hint, role_hint
from runner.data.sample import Chat, Message, Pair, Sample, Text
from runner.spec import Format

SHORT_PROMPT = 20  # characters

EXPECTED: dict[Format, tuple[str, ...]] = {
    "messages": ("messages", "role", "content"),
    "prompt_completion": ("prompt", "completion", "role", "content"),
    "alpaca": ("instruction", "input", "output", "system", "history"),
    "sharegpt": ("conversations", "system", "from", "value"),
    "preference": ("prompt", "chosen", "rejected", "role", "content"),
    "text": ("text",),
}

# Columns of preference data sets that hold how good the two answers were found.
SCORES = ("score_{}", "{}_score", "{}-rating", "{}_rating", "rating_{}", "reward_{}", "{}_reward")
# Columns that may say which rows are good; nothing reads them.
JUDGEMENTS = {
    "label", "labels", "is_correct", "correct", "flagged", "toxic", "is_good", "quality", "weight",
}  # fmt: skip
# What people call invisible: a text of these alone is empty.
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e"

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
            pair = self._text_pair(prompt, chosen, rejected)
        else:
            pair = self._chat_pair(prompt, chosen, rejected)
        if pair.chosen == pair.rejected:
            raise RowFault("data-same-pair")
        return replace(pair, is_scored_lower=True) if _is_scored_lower(row) else pair

    def _text_pair(self, prompt: str | None, chosen: str, rejected: str) -> Pair:
        check_text(chosen, "chosen")
        check_text(rejected, "rejected")
        if prompt is not None:
            return self._prompted_pair(check_text(prompt, "prompt"), chosen, rejected)
        shared = _common_length(chosen, rejected)
        if not chosen[:shared].strip():
            raise RowFault("data-missing-column", "no `prompt`, and no first words in common")
        if 0 < shared < max(len(chosen), len(rejected)) and chosen[shared - 1] == " ":
            shared -= 1  # the space belongs to the answer, as in trl.extract_prompt
        return Pair(chosen[:shared], chosen[shared:], rejected[shared:])

    def _prompted_pair(self, prompt: str, chosen: str, rejected: str) -> Pair:
        starts = [answer.startswith(prompt) for answer in (chosen, rejected)]
        # a short prompt may well be the first word of an answer
        if len(prompt) < SHORT_PROMPT or not any(starts):
            return Pair(prompt, chosen, rejected)
        if not all(starts):
            raise RowFault("data-prompt-mismatch", "one answer begins with it, the other does not")
        chosen, rejected = chosen[len(prompt) :], rejected[len(prompt) :]
        check_text(chosen, "chosen")
        check_text(rejected, "rejected")
        return Pair(prompt, chosen, rejected, is_prompt_repeated=True)

    def _chat_pair(self, prompt: Any, chosen: Any, rejected: Any) -> Pair:
        answers = self._side(chosen, "chosen"), self._side(rejected, "rejected")
        shared = answers[0][: _common_length(*answers)]
        given = None if prompt is None else self._side(prompt, "prompt")
        is_repeated = False
        if given is None:
            context, answers = shared, _without(answers, len(shared))
        elif isinstance(prompt, str) and given[0] in shared:
            # whole conversations beside the prompt as a string: it is one of their first turns
            context, answers = shared, _without(answers, len(shared))
        elif all(answer[: len(given)] == given for answer in answers):
            context, answers, is_repeated = given, _without(answers, len(given)), True
        else:
            context = given
            if any(answer[0]["role"] != "assistant" for answer in answers):
                raise RowFault("data-prompt-mismatch")
        for name, answer in zip(("chosen", "rejected"), answers, strict=True):
            if not answer or answer[-1]["role"] != "assistant":
                raise RowFault("data-no-assistant", f"{name} must end with an assistant turn")
        if not context:
            raise RowFault("data-missing-column", "no `prompt`, and no first turns in common")
        return Pair(context, *answers, is_prompt_repeated=is_repeated)

    def _text(self, row: dict[str, Any]) -> Sample:
        return Text("", check_text(self._required(row, "text"), "text"))

    def _required(self, row: dict[str, Any], name: str) -> Any:
        column = self.names[name]
        if column in row:
            return row[column]
        near = difflib.get_close_matches(column, list(row), n=1)
        hint = f"; nearest is {shown_name(near[0])}" if near else ""
        if any(key.strip(" \t\ufeff").lower() == column.lower() for key in row):
            hint = "; one of its columns differs from it in spaces or capitals alone"
        fix = format_hint(row, self.format)
        if not fix and not any(key.strip().isidentifier() for key in row):
            fix = "begin a table with a line that names its columns"
        raise RowFault(
            "data-missing-column",
            f"no {shown_name(column)}{hint}; the row has {shown_names(list(row))}",
            fix,
        )

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
                if type(role) is str and role in roles and type(text) is str and _is_fine(text):
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


def unknown_columns(format: Format, columns: Mapping[str, str] | None) -> list[str]:
    """Return the keys of a column map that the format does not know."""
    return [name for name in columns or {} if name not in EXPECTED[format]]


def _is_fine(text: str) -> bool:
    """Say at once of most texts that `check_text` would pass them."""
    return text.isascii() and "\0" not in text and bool(text) and not text.isspace()


def check_text(value: Any, field: str) -> str:
    """Return a text that can be trained on.

    Raises:
        RowFault: it is no string, holds nothing but white space, or cannot be tokenised.
    """
    if not isinstance(value, str):
        hint = "join its text parts to one string" if isinstance(value, list) else ""
        if isinstance(value, list) and any(map(_is_medium, value)):
            hint = "leave it out, or write what it shows: an image or sound is no text"
        raise RowFault("data-wrong-type", f"{field} is a {kind_of(value)}, a string expected", hint)
    if not value.strip() or (not value.isascii() and not value.strip(INVISIBLE + " \t\r\n")):
        raise RowFault("data-empty-content", field)
    if "\0" in value:
        raise RowFault("data-nul", field)
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise RowFault("data-lone-surrogate", field) from None  # the cause holds the text
    return value


def _is_medium(part: Any) -> bool:
    kind = str(part.get("type")) if isinstance(part, dict) else ""
    return any(word in kind for word in ("image", "audio", "video", "file"))


def _with_assistant(chat: Chat) -> Chat:
    if any(turn["role"] == "assistant" for turn in chat.messages[chat.num_context :]):
        return chat
    raise RowFault("data-no-assistant")


def _without(
    answers: tuple[list[Message], list[Message]], count: int
) -> tuple[list[Message], list[Message]]:
    return answers[0][count:], answers[1][count:]


def _classic_alpaca(
    instruction: str, more: str, output: str, system: str, history: list[Message]
) -> Text:
    if history:
        raise RowFault("data-template", "history needs a chat template, and the model has none")
    form = ALPACA_WITH_INPUT if more else ALPACA_NO_INPUT
    prompt = form.format(instruction=instruction, input=more)
    return Text(f"{system}\n\n{prompt}" if system else prompt, output)


def _is_scored_lower(row: Mapping[str, Any]) -> bool:
    """Say whether a row's own scores prefer the rejected answer."""
    for form in SCORES:
        chosen, rejected = row.get(form.format("chosen")), row.get(form.format("rejected"))
        if isinstance(chosen, int | float) and isinstance(rejected, int | float):
            return chosen < rejected
    return False


def _common_length(first: Any, second: Any) -> int:
    """Return how many leading elements two strings or lists share."""
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length
