"""Equal and nearly equal samples are found, inside a file and between two."""

from __future__ import annotations

import random

import numpy as np
import pytest

from runner.data.sketch import BANDS, MIN_WORDS, sketch
from runner.data.texts import TextBatch
from tests.runner.data.chats import chat
from tests.runner.data.conftest import Workshop

LONG = "A fever is a temperature above the usual range and often helps the body against germs"
WORDS = [f"word{number}" for number in range(2000)]


def keys(*texts: str) -> np.ndarray:
    return sketch(TextBatch(texts))


@pytest.mark.parametrize(
    "other", [LONG.upper(), LONG.replace(" ", "  \n"), LONG + ".", LONG.replace(" and", ", and")]
)
def test_case_space_and_punctuation_make_no_other_text(other: str) -> None:
    """The first key is that of the words alone."""
    one, same = keys(LONG, other)
    assert one[0] == same[0]


@pytest.mark.parametrize("other", [LONG + " too", LONG.replace("fever", "cold"), "", "…", LONG[2:]])
def test_other_words_make_another_text(other: str) -> None:
    """One word more, less or changed is another text."""
    one, changed = keys(LONG, other)
    assert one[0] != changed[0]


def test_keys_do_not_depend_on_the_batch() -> None:
    """A text has the same keys wherever it stands among others."""
    texts = [LONG, "short", "", "体温が高い。体温が低い。", "Größe " * 20]
    alone = np.concatenate([keys(text) for text in texts])
    assert (keys(*texts) == alone).all()
    assert (keys(*texts[::-1])[::-1] == alone).all()


def test_pairs_are_found_as_often_as_computed() -> None:
    """Recall on drawn texts follows 1 - (1 - s^5)^8 to a few hundredths."""
    draw = random.Random(3)
    found, expected = 0, 0.0
    for _ in range(600):
        words = draw.choices(WORDS, k=50)
        other = [draw.choice(WORDS) if draw.random() < 0.05 else word for word in words]
        triples, others = ({*zip(w, w[1:], w[2:], strict=False)} for w in (words, other))
        share = len(triples & others) / len(triples | others)
        expected += 1 - (1 - share**5) ** BANDS
        one, two = keys(" ".join(words), " ".join(other))
        found += bool((one[1:] == two[1:]).any())
    assert found == pytest.approx(expected, abs=0.04 * 600)


def test_texts_of_a_few_words_are_never_near() -> None:
    """Below the number of words that make triples, only equal texts are found."""
    assert not keys(" ".join(["word"] * (MIN_WORDS - 1)))[0, 1:].any()


def test_report_counts_each_repeat_once_and_names_lines(workshop: Workshop) -> None:
    """Exact, same words, near: each row under the closest, with the lines of both."""
    rows = [
        chat("u:What is a fever?", f"a:{LONG}."),
        chat("u:What is a fever?", f"a:{LONG}."),
        chat("u:what is a FEVER?", f"a:{LONG}!"),
        chat("u:What is a fever?", f"a:{LONG}, they say."),
        chat("u:Why?", "a:Because of many other things that nobody has named so far."),
    ]
    workshop.write("eval.jsonl", [{"messages": rows[0]}, {"messages": chat("u:x", "a:y")}])
    prepared = workshop.prepare([{"messages": row} for row in rows], eval=[{"path": "eval.jsonl"}])
    train, held = prepared.report.train, prepared.report.eval
    assert held is not None
    assert (train.duplicates, train.same_words, train.near_duplicates) == (1, 1, 1)
    assert train.places["same_words"] == ["train.jsonl:3 and train.jsonl:1"]
    assert (held.in_other_split, held.near_in_other_split) == (1, 0)
    assert held.places["in_other_split"] == ["eval.jsonl:1 and train.jsonl:1"]


def test_shared_system_text_makes_no_near_duplicates(workshop: Workshop) -> None:
    """Rows are compared by what distinguishes them."""
    rows = [
        {"messages": chat("s:" + LONG * 5, f"u:{' '.join(draw[:12])}", f"a:{' '.join(draw[12:])}")}
        for draw in (random.Random(seed).choices(WORDS, k=30) for seed in range(5))
    ]
    assert workshop.prepare(rows, max_length=2048).report.train.near_duplicates == 0


def test_same_file_in_both_splits_is_named(workshop: Workshop) -> None:
    """Held out and trained on: said with the keys of the job."""
    rows = [{"messages": chat("u:Hello", f"a:Yes {i}.")} for i in range(3)]
    report = workshop.prepare(rows, eval=[{"path": "train.jsonl"}]).report
    assert report.same_file == [
        "data.eval[0] and data.train[0] are the same data: it is held out and trained on"
    ]
