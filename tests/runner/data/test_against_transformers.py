"""Ids are those of transformers for the same conversation; it is imported without torch (0.5 s)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.runner.data.chats import CHATS
from tests.runner.data.conftest import Workshop
from tests.runner.data.folders import SPECIAL_TOKENS

TEMPLATES = [name for name in SPECIAL_TOKENS if name not in ("parts", "nostop")]


def theirs(workshop: Workshop) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.PreTrainedTokenizerFast.from_pretrained(workshop.tokenizer.folder)


def is_refused(template: str, name: str) -> bool:
    return name == "with system" and template in ("gemma", "inst")


@pytest.mark.parametrize("kind", ["byte", "metaspace"])
@pytest.mark.parametrize("template", TEMPLATES)
def test_ids_of_chats_are_those_of_transformers(
    workshop_for: Callable[..., Workshop], template: str, kind: str
) -> None:
    """apply_chat_template gives the same ids: one BOS, one EOS, the same words."""
    workshop = workshop_for(template, kind)
    chats = [one for name, one in CHATS.items() if not is_refused(template, name)]
    prepared = workshop.prepare([{"messages": one} for one in chats])
    reference = theirs(workshop)
    for one, (ids, _) in zip(chats, workshop.samples(prepared.train), strict=True):
        assert ids == reference.apply_chat_template(one)["input_ids"]


@pytest.mark.parametrize("kind", ["byte", "metaspace"])
@pytest.mark.parametrize("adds_eos", [False, True])
def test_ids_of_text_are_those_of_transformers(
    workshop_for: Callable[..., Workshop], kind: str, adds_eos: bool
) -> None:
    """Plain text gets what the tokenizer adds, and one EOS."""
    workshop = workshop_for(None, kind, adds_eos=adds_eos, add_bos_token=True)
    texts = ["What is a fever?", " two  spaces", "体温 😀"]
    prepared = workshop.prepare([{"text": one} for one in texts], source={"format": "text"})
    reference = theirs(workshop)
    for one, (ids, flags) in zip(texts, workshop.samples(prepared.train), strict=True):
        expected = reference(one)["input_ids"]
        expected += [] if adds_eos else [reference.eos_token_id]
        assert ids == expected
        assert all(flags)


@pytest.mark.parametrize("name", ["single", "two turns", "not ASCII"])
def test_generation_marks_are_those_of_transformers(
    workshop_for: Callable[..., Workshop], name: str
) -> None:
    """Where a template has generation markers, the mask is transformers' up to the stop token."""
    workshop = workshop_for("marked")
    [(ids, flags)] = workshop.samples(workshop.prepare([{"messages": CHATS[name]}]).train)
    reference = theirs(workshop)
    marked = reference.apply_chat_template(CHATS[name], return_assistant_tokens_mask=True)
    for i, (ours, mark) in enumerate(zip(flags, marked["assistant_masks"], strict=True)):
        is_after_stop = ids[i - 1] == reference.eos_token_id  # the template marks a line break too
        assert ours == (bool(mark) and not is_after_stop)
