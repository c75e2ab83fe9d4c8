"""Notes count every row and name the first lines."""

from __future__ import annotations

from runner.data.notes import LINES_SHOWN, NOTES, Note, NoteLog, note_sentence, rare, shown_lines


def log_of(*numbers: int) -> NoteLog:
    log = NoteLog()
    for number in numbers:
        log.add("open_end", number)
    return log


def test_all_rows_are_counted_and_the_first_lines_named() -> None:
    """The rest is an ellipsis."""
    note = log_of(*range(3, 20)).notes["open_end"]
    assert note == Note(17, [3, 4, 5, 6, 7])
    assert shown_lines(note) == "lines 3, 4, 5, 6, 7 …"


def test_rows_on_one_line_are_counted_apart() -> None:
    """A JSON list may stand on one line."""
    note = log_of(1, 1, 1).notes["open_end"]
    assert note == Note(3, [1]) and shown_lines(note) == "line 1"


def test_logs_of_batches_join_in_order() -> None:
    """Lines fill up to the limit, counts add."""
    log = log_of(1, 2, 3, 4)
    log.merge(log_of(7, 8, 9).notes)
    assert log.notes["open_end"] == Note(7, [1, 2, 3, 4, 7])
    assert len(log.notes["open_end"].lines) == LINES_SHOWN


def test_rare_groups_are_those_below_the_share() -> None:
    """One row of a hundred is rare, half of them is not."""
    groups = {"Latin": Note(99, [1]), "Cyrillic": Note(1, [50])}
    assert [name for name, _ in rare(groups)] == ["Cyrillic"]
    assert list(rare({"Latin": Note(5, [1]), "Cyrillic": Note(5, [6])})) == []


def test_one_row_has_a_verb_of_its_own() -> None:
    """A sentence about one row is no plural."""
    assert note_sentence("no_stop", 2).startswith("2 rows do not end")
    assert note_sentence("no_stop", 1).startswith("1 row does not end")
    verbs = {note_sentence(kind, 1).split()[2] for kind in NOTES}
    assert verbs == {"begins", "has", "ends", "answers", "holds", "names", "repeats", "mixes", "is",
                     "does"}  # fmt: skip
