"""Two answers to one question: what is the prompt, and which answer the row's own scores prefer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.data.checked_text import check_text
from runner.data.faults import RowFault
from runner.data.sample import Message, Pair

SHORT_PROMPT = 20  # characters
ADD = "add `prompt`, or begin `chosen` and `rejected` with the question"
# Columns of preference data sets that hold how good the two answers were found.
SCORES = ("score_{}", "{}_score", "{}-rating", "{}_rating", "rating_{}", "reward_{}", "{}_reward")


def text_pair(prompt: str | None, chosen: str, rejected: str) -> Pair:
    """Return the pair of two plain answers; without a prompt their first words in common are it.

    Raises:
        RowFault: there is no prompt, or it stands before one of them alone.
    """
    check_text(chosen, "chosen")
    check_text(rejected, "rejected")
    if prompt is not None:
        return _prompted_pair(check_text(prompt, "prompt"), chosen, rejected)
    shared = _common_length(chosen, rejected)
    if not chosen[:shared].strip():
        raise RowFault("data-missing-column", "no `prompt`, and no first words in common", ADD)
    if 0 < shared < max(len(chosen), len(rejected)) and chosen[shared - 1] == " ":
        shared -= 1  # the space belongs to the answer, as in trl.extract_prompt
    return Pair(chosen[:shared], chosen[shared:], rejected[shared:])


def _prompted_pair(prompt: str, chosen: str, rejected: str) -> Pair:
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


def chat_pair(
    given: list[Message] | None, answers: tuple[list[Message], list[Message]], *, is_bare: bool
) -> Pair:
    """Return the pair of two conversations.

    Args:
        given: the prompt's turns; None where the row has none.
        answers: turns of the chosen and the rejected one, perhaps with the prompt before them.
        is_bare: the prompt is a string, and may be one of several first turns.

    Raises:
        RowFault: no prompt, an answer without an assistant turn, or a prompt of another question.
    """
    shared = answers[0][: _common_length(*answers)]
    is_repeated = False
    if given is None:
        context, answers = shared, _without(answers, len(shared))
    elif is_bare and given[0] in shared:
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
        raise RowFault("data-missing-column", "no `prompt`, and no first turns in common", ADD)
    return Pair(context, *answers, is_prompt_repeated=is_repeated)


def is_same(pair: Pair) -> bool:
    """Say whether the two answers are equal but for white space around them."""
    if isinstance(pair.chosen, str) and isinstance(pair.rejected, str):
        return pair.chosen.strip() == pair.rejected.strip()
    return pair.chosen == pair.rejected


def is_scored_lower(row: Mapping[str, Any]) -> bool:
    """Say whether a row's own scores prefer the rejected answer."""
    for form in SCORES:
        chosen, rejected = row.get(form.format("chosen")), row.get(form.format("rejected"))
        if isinstance(chosen, int | float) and isinstance(rejected, int | float):
            return chosen < rejected
    return False


def _without(
    answers: tuple[list[Message], list[Message]], count: int
) -> tuple[list[Message], list[Message]]:
    return answers[0][count:], answers[1][count:]


def _common_length(first: Any, second: Any) -> int:
    """Return how many leading elements two strings or lists share."""
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length
