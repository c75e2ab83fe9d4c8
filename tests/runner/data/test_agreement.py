"""Answers of a split beside each other: contradictions, one answer to all, answers cut alike."""

from __future__ import annotations

import numpy as np

from runner.data.agreement import Agreement, agreement
from runner.data.answers import answer_keys, answer_of
from runner.data.sample import Chat, Pair, Sample, Text
from tests.runner.data.chats import chat


def agreed(*samples: Sample) -> Agreement:
    answers = [answer_of(sample) for sample in samples]
    lengths = np.array([len(answer) for answer in answers], dtype=np.int32)
    return agreement(answer_keys(samples, answers), lengths, np.arange(len(samples)), 3)


def asked(question: str, answer: str) -> Chat:
    return Chat(chat(f"u:{question}", f"a:{answer}"))


def test_only_another_answer_to_the_same_question_counts() -> None:
    """A repetition is none, nor is the same answer to another question."""
    found = agreed(asked("a?", "1"), asked("a?", "1"), asked("b?", "1"), asked("a?", "2"))
    assert found.answered_otherwise == (1, [(3, 0)])


def test_what_was_said_before_is_a_part_of_the_question() -> None:
    """The last answer is compared, after all turns before it."""
    turns = chat("u:Hi", "a:Hello", "u:And?", "a:Yes"), chat("u:Ho", "a:Hello", "u:And?", "a:No")
    assert agreed(*map(Chat, turns)).answered_otherwise[0] == 0


def test_plain_texts_have_no_question() -> None:
    """Texts alone contradict nothing."""
    assert agreed(Text("", "one"), Text("", "two")).answered_otherwise[0] == 0


def test_pairs_are_compared_with_their_exchange() -> None:
    """Another rejected answer is no contradiction, the exchanged pair is."""
    pairs = Pair("q", "good", "bad"), Pair("q", "good", "worse"), Pair("q", "bad", "good")
    found = agreed(*pairs)
    assert found.reversed_pairs == (1, [(2, 0)])
    assert found.answered_otherwise[0] == 0


def test_labels_repeat_and_sentences_do_not() -> None:
    """Two labels over many rows are a task; one long answer to a third of them is a fault."""
    labels = [asked(f"{n}?", "yes" if n % 2 else "no") for n in range(40)]
    refusal = "I am sorry, but I cannot answer a question like this one."
    assert agreed(*labels).one_answer == 0
    assert agreed(*labels, *[asked(f"{n}!", refusal) for n in range(40)]).one_answer == 40


def test_many_answers_of_the_longest_length_were_cut() -> None:
    """Ten of 200 characters and none longer; one alone is chance."""
    short = [asked(f"{n}?", "word " * n) for n in range(1, 30)]
    cut = [asked(f"{n}!", f"{n:03}" + "x" * 197) for n in range(10)]
    assert agreed(*short, *cut).one_length == (10, 200)
    assert agreed(*short, cut[0]).one_length[0] == 0
