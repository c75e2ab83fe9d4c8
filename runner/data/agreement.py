"""What the answers of a split have in common that they should not: counts and places, no text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runner.data.answers import Keys

MANY = 10  # samples from which a thing in common is no chance
SHARE_OF_ONE_ANSWER = 0.3
SHARE_OF_ONE_LENGTH = 0.02
WORDY = 40  # characters: shorter answers are labels, and labels repeat


@dataclass(frozen=True)
class Agreement:
    """What answers of a split have in common that they should not; first samples of each."""

    answered_otherwise: tuple[int, list[tuple[int, int]]]  # samples, (sample, an earlier one)
    reversed_pairs: tuple[int, list[tuple[int, int]]]  # chosen there is rejected here
    one_answer: int  # samples with the most frequent answer, where that is far too many
    one_length: tuple[int, int]  # samples with the longest answer's length, and that length


def agreement(
    keys: Keys, lengths: npt.NDArray[np.int32], samples: npt.NDArray[np.intp], num_shown: int
) -> Agreement:
    """Compare the answers of a split.

    Args:
        keys, lengths: of the samples, as `answer_keys` gives them.
        samples: their indices in the spool, ascending.
        num_shown: places kept of each kind.
    """
    otherwise, reversed_ = _contradictions(keys, samples, num_shown)
    lengths = lengths[samples]
    one_answer = _one_answer(keys[samples, 1], lengths)
    return Agreement(
        answered_otherwise=otherwise,
        reversed_pairs=reversed_,
        one_answer=one_answer,
        one_length=(0, 0) if one_answer else _one_length(lengths),
    )


def _contradictions(
    keys: Keys, samples: npt.NDArray[np.intp], num_shown: int
) -> tuple[tuple[int, list[tuple[int, int]]], tuple[int, list[tuple[int, int]]]]:
    """Count samples whose question was answered otherwise before; pairs also the other way."""
    questions = keys[samples, 0]
    order = np.argsort(questions, kind="stable")  # the first of equal ones is the earliest sample
    questions = questions[order]
    is_again = np.concatenate([[False], questions[1:] == questions[:-1], [False]])
    starts = np.flatnonzero(~is_again[:-1] & is_again[1:])
    ends = np.flatnonzero(is_again[:-1] & ~is_again[1:]) + 1
    otherwise: list[tuple[int, int]] = []
    reversed_: list[tuple[int, int]] = []
    for start, end in zip(starts, ends, strict=True):
        if not questions[start]:
            continue  # no question: plain texts
        group = samples[order[start:end]]
        first = keys[group[0]]
        for one in group[1:]:
            place = int(one), int(group[0])
            if first[2] and keys[one, 1] == first[2] and keys[one, 2] == first[1]:
                reversed_.append(place)
            elif not first[2] and keys[one, 1] != first[1]:
                otherwise.append(place)
    return tuple(  # type: ignore[return-value]  # two of one shape
        (len(found), sorted(found)[:num_shown]) for found in (otherwise, reversed_)
    )


def _one_answer(answers: npt.NDArray[np.uint64], lengths: npt.NDArray[np.int32]) -> int:
    ordered = np.sort(answers)
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(np.append(starts, len(ordered)))
    most = int(np.argmax(counts))
    if counts[most] < max(MANY, SHARE_OF_ONE_ANSWER * len(answers)):
        return 0
    length = lengths[int(np.argmax(answers == ordered[starts[most]]))]
    is_label = len(counts) > 1 and length < WORDY
    return 0 if is_label else int(counts[most])


def _one_length(lengths: npt.NDArray[np.int32]) -> tuple[int, int]:
    """Return how many answers are as long as the longest, where they were cut there."""
    longest = int(lengths.max(initial=0))
    count = int((lengths == longest).sum())
    is_cut = longest >= 2 * WORDY and count >= max(MANY, SHARE_OF_ONE_LENGTH * len(lengths))
    return (count, longest) if is_cut else (0, longest)
