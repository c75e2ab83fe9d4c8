"""What a person should know about rows that are good enough to train on: counts and lines.

A note refuses nothing; it names rows, never their text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

LINES_SHOWN = 5  # of one kind of note; the rest is counted

# kind → sentence; {} is the number of rows
NOTES = {
    # turns
    "assistant_first": "{} begin with the assistant: it answers nothing",
    "roles_repeat": "{} have two turns of one role in a row",
    "open_end": "{} end without the assistant; what follows its last turn is not learnt",
    "echo": "{} answer with the question, word for word",
    "late_system": "{} have a system turn that is not the first",
    "placeholder": "{} answer with a placeholder (TODO, N/A, null, … and the like)",
    "unfilled": "{} hold a slot of a template that nobody filled (double braces, [YOUR …])",
    "turn_inside": "{} hold turns of another format inside a text (User:, ### Response, [INST]); "
    "they are learnt as words",
    "medium": "{} name an image, a sound or a video, which no text model sees",
    "circles": "{} have an answer that ends in the same few words over and over",
    "cut_cell": "{} hold a text of exactly 32,767 or 65,535 characters: a table cut it there",
    "chat_as_text": "{} hold a chat as JSON inside a text; it is learnt as text (json.loads it)",
    "echoed_prompt": "{} begin the completion with the prompt, which is learnt again",
    "scores_swapped": "{} have a lower score for the chosen answer than for the rejected one",
    "repeated_prompt": "{} repeat the prompt inside the answers; it is cut off there",
    # texts
    "control_tokens": "{} hold the text of a special token; it is encoded as that token, and "
    "can end or forge a turn",
    "mojibake": "{} hold UTF-8 that was read in another encoding (such as Ã© for é)",
    "replacement_character": "{} hold U+FFFD, the mark of a character that was lost",
    "invisible": "{} hold invisible characters (zero width, byte order mark, text direction, tags)",
    "control_characters": "{} hold control characters",
    "carriage_return": "{} hold carriage returns inside a text",
    "escapes": "{} hold escapes as text (\\n\\n, \\u00e9): they were escaped twice",
    "markup": "{} hold HTML (tags, &amp; and the like)",
    "mixed_scripts": "{} mix Latin and Cyrillic or Greek letters within a word (look-alikes)",
    "decomposed": "{} hold letters in two parts (e and an accent): other tokens than in one (NFC)",
    "private_use": "{} hold private use characters, which only one font can show",
    "other_script": "{} are written in another script than the rest of the file",
    # rendering and tokens
    "plain_text": "{} are trained as plain text, without the model's chat template",
    "straddling_tokens": "{} have a token that straddles the border of an answer; it carries loss",
    "altered_turns": "{} have turns that the chat template does not render word for word (many "
    "leave out the reasoning of earlier answers, some the system text)",
    "added_eos": "{} have no stop token after the answer; EOS is added and carries loss",
    "unstopped_turns": "{} have earlier answers without the stop token of the last one; their end "
    "is not learnt",
    "off_prompt": "{} do not go on where the template's generation prompt ends: the model is asked "
    "in another form than it is trained on",
    "no_stop": "{} do not end with a stop token that carries loss",
}

_OF_ONE = {"are": "is", "do": "does", "have": "has", "mix": "mixes"}  # the other verbs take an s


@dataclass
class Note:
    """How many rows, and the first of them (line or row numbers, ascending)."""

    count: int = 0
    lines: list[int] = field(default_factory=list)


class NoteLog:
    """Notes of one source, by kind."""

    def __init__(self) -> None:
        self.notes: dict[str, Note] = {}

    def add(self, kind: str, number: int) -> None:
        """Note a row; rows come in order, several may stand on one line of a JSON list."""
        note = self.notes.setdefault(kind, Note())
        note.count += 1
        if len(note.lines) < LINES_SHOWN and note.lines[-1:] != [number]:
            note.lines.append(number)

    def merge(self, other: Mapping[str, Note]) -> None:
        """Add the notes of the rows that follow."""
        for kind, later in other.items():
            note = self.notes.setdefault(kind, Note())
            note.count += later.count
            note.lines += later.lines[: LINES_SHOWN - len(note.lines)]


def rows(count: int) -> str:
    """Return `1 row` or `1,234 rows`."""
    return f"{count:,} row{'s' if count != 1 else ''}"


def note_sentence(kind: str, count: int) -> str:
    """Return what a note says of so many rows."""
    if count > 1:
        return NOTES[kind].format(rows(count))
    verb, _, rest = NOTES[kind].removeprefix("{} ").partition(" ")
    return f"{rows(1)} {_OF_ONE.get(verb, f'{verb}s')} {rest}"


def shown_lines(note: Note) -> str:
    """Return `lines 3, 17, 18 …` of a note."""
    more = " …" if note.count > len(note.lines) == LINES_SHOWN else ""
    return f"line{'s' * (len(note.lines) > 1)} {', '.join(map(str, note.lines))}{more}"


def rare(groups: Mapping[str, Note], share: float = 0.02) -> Iterable[tuple[str, Note]]:
    """Yield the groups that hold at most a share of all rows."""
    total = Counter({name: note.count for name, note in groups.items()}).total()
    return ((name, note) for name, note in groups.items() if note.count <= share * total)
