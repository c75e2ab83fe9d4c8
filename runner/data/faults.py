"""What can be wrong with a row, in plain words, and the log that gathers it over a whole file.

A fault names file, line and field, never the text of a sample.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from runner.errors import DataError

PLACES_SHOWN = 20  # of one kind of fault; the rest is counted


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault: what it is called, why it matters, how it is mended."""

    what: str
    why: str
    fix: str


_DROP = "mend the row, or set `data.on_bad_row: drop`"

KINDS = {
    "data-bad-json": FaultKind(
        "not valid JSON",
        "the row cannot be read, and those after it may be cut wrongly",
        "mend the line (one JSON object a line), or set `data.on_bad_row: drop`",
    ),
    "data-not-object": FaultKind(
        "a row that is not an object",
        "a row needs named fields",
        'write each row as {"messages": …} or what its format asks for',
    ),
    "data-duplicate-key": FaultKind(
        "the same key twice in one object",
        "readers disagree which of the two counts",
        "keep one of them",
    ),
    "data-not-finite": FaultKind(
        "NaN or Infinity, which JSON does not have",
        "readers disagree on it",
        "write null, or leave the field out",
    ),
    "data-not-utf8": FaultKind(
        "bytes that are not UTF-8",
        "the text would be trained on garbled",
        "convert the file to UTF-8 (iconv -f WINDOWS-1252 -t UTF-8), or drop the row",
    ),
    "data-nul": FaultKind("a NUL character in the text", "it is never wanted in a sample", _DROP),
    "data-lone-surrogate": FaultKind(
        "half of a surrogate pair (\\ud800 … \\udfff) in the text",
        "it is no character and cannot be tokenised",
        "write the whole pair, or set `data.on_bad_row: drop`",
    ),
    "data-huge-line": FaultKind(
        "a line of more than 64 MiB",
        "the file may have no line ends, and a row must fit into memory",
        "write one object a line",
    ),
    "data-prompt-mismatch": FaultKind(
        "`prompt` is not what stands before the answers in `chosen` and `rejected`",
        "the answers would be learnt for another question",
        "mend the row, or leave `prompt` out: it is then what both have in common",
    ),
    "data-csv-width": FaultKind(
        "a row with more or fewer fields than the header",
        "its fields would land in the wrong columns",
        "quote fields that hold commas or line breaks",
    ),
    "data-missing-column": FaultKind(
        "a column that the format needs is missing",
        "the row has nothing to learn from",
        "set `format`, or map the name with `columns: {expected: actual}`",
    ),
    "data-wrong-type": FaultKind(
        "a field of the wrong type", "the row is not of its format", _DROP
    ),
    "data-empty-content": FaultKind(
        "an empty text where there must be one",
        "the model would learn to answer, or to be asked, nothing",
        _DROP,
    ),
    "data-unknown-role": FaultKind(
        "a role that is not known",
        "a guess could train on the user's words",
        "use system, user, assistant or tool (sharegpt: human and gpt too)",
    ),
    "data-no-assistant": FaultKind(
        "a conversation without an assistant turn to learn from",
        "there is nothing to learn in it",
        _DROP,
    ),
    "data-tools": FaultKind(
        "tool calls, which are not supported yet",
        "they would be left out of the text without a word",
        "write the call as text of the assistant turn, or set `data.on_bad_row: drop`",
    ),
    "data-same-pair": FaultKind(
        "`chosen` and `rejected` are the same", "there is no preference to learn", _DROP
    ),
    "data-template": FaultKind(
        "the chat template refuses the conversation",
        "the model was not made for this order of roles",
        "bring the turns into the order the template wants, or set `data.on_bad_row: drop`",
    ),
    "data-no-template": FaultKind(
        "a conversation, and the model has no chat template",
        "it is not clear how the turns become one text",
        "set `data.chat_template` to a .jinja file, or train on `prompt_completion` strings",
    ),
    "data-lost-turn": FaultKind(
        "the chat template leaves an answer out of the text, or alters it",
        "the model would learn to say nothing, or something else",
        "set `data.chat_template` to one that writes the content of a turn, a string, as it is",
    ),
    "data-mask": FaultKind(
        "the assistant turns cannot be found in the rendered chat template",
        "a guess could train on the user's words",
        "put {% generation %} … {% endgeneration %} around the assistant turn in a template of "
        "your own (`data.chat_template: FILE`), or set `data.loss_on: all`",
    ),
    "data-no-stop": FaultKind(
        "neither the chat template nor the tokenizer has a stop token",
        "the model would never learn to stop",
        "set `eos_token` in the model's tokenizer_config.json",
    ),
    "data-nothing-supervised": FaultKind(
        "no token of the sample carries loss", "there is nothing to learn in it", _DROP
    ),
    "data-truncated-away": FaultKind(
        "nothing to learn is left after the cut at data.max_length",
        "the question alone fills the room",
        "raise `data.max_length`",
    ),
    "data-too-long": FaultKind(
        "samples longer than data.max_length",
        "cut without a word, they would lose their end, often the answer",
        "raise `data.max_length`, or set `data.on_too_long: truncate` or `drop`",
    ),
}


class RowFault(Exception):
    """One fault of one row; gathered by the caller, never shown by itself.

    Args:
        kind: a key of KINDS.
        detail: field, column or count; no text of the row.
        hint: a better fix than that of the kind; {key} stands for the source in the job.
    """

    def __init__(self, kind: str, detail: str = "", hint: str = "") -> None:
        assert kind in KINDS, kind
        super().__init__(kind, detail, hint)
        self.kind = kind
        self.detail = detail
        self.hint = hint


@dataclass
class FaultLog:
    """All faults of one source, counted by kind, with the first places of each."""

    key: str  # of the source in the job: data.train[0]
    counts: Counter[str] = field(default_factory=Counter)
    hints: dict[str, Counter[str]] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, fault: RowFault, place: str) -> None:
        self.counts[fault.kind] += 1
        if fault.hint:
            self.hints.setdefault(fault.kind, Counter())[fault.hint] += 1
        shown = self.places.setdefault(fault.kind, [])
        if len(shown) < PLACES_SHOWN:
            shown.append(f"{place}  {fault.detail}".rstrip())

    def errors(self) -> list[DataError]:
        """Return one error a kind, with every place up to the cap."""
        return [self._error(kind, count) for kind, count in self.counts.items()]

    def _error(self, kind: str, count: int) -> DataError:
        facts = KINDS[kind]
        places = list(self.places[kind])
        if count > len(places):
            places.append(f"and {count - len(places):,} more, same fault")
        return DataError(
            id=kind,
            what=f"{facts.what} ({count:,} row{'s' if count > 1 else ''})",
            where="\n         ".join(places),
            why=facts.why,
            fix=self._hint(kind) or facts.fix,
        )

    def _hint(self, kind: str) -> str:
        """Return the hint that most rows of a kind have in common."""
        [(hint, _)] = self.hints.get(kind, Counter({"": 0})).most_common(1)
        return hint.replace("{key}", self.key)


def shown_name(name: object) -> str:
    """Return a key or role for an error, unless it might be text of a sample."""
    if isinstance(name, str) and re.fullmatch(r"[\w.\-/]{1,40}", name):
        return f"`{name}`"
    return "(not a name)"


def shown_names(names: list[str], limit: int = 12) -> str:
    """Return some keys of a row for an error: `id`, `question` and 3 more."""
    text = ", ".join(shown_name(name) for name in names[:limit]) or "none"
    return text + (f" and {len(names) - limit} more" if len(names) > limit else "")


def kind_of(value: object) -> str:
    """Return the JSON name of a value's type."""
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    if isinstance(value, bytes):
        return "value of bytes"
    return names.get(type(value), "number" if isinstance(value, int | float) else "value")
