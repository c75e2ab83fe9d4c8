"""Samples are shown as the tokens say, with what carries loss visible."""

from __future__ import annotations

from collections.abc import Callable

from runner.data.show import GREEN, PLAIN, Piece, render_pieces, sample_pieces
from tests.runner.data.chats import chat
from tests.runner.data.conftest import Workshop


def test_pieces_are_the_text_of_the_tokens(workshop: Workshop) -> None:
    """Special tokens are shown, and the pieces alternate."""
    prepared = workshop.prepare([{"messages": chat("s:Be kind.", "u:Hello", "a:Yes.")}])
    [(title, pieces)] = sample_pieces(prepared.train, workshop.tokenizer)
    assert title == "sample 1 of 1"
    prompt = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
    assert pieces == [
        Piece(prompt + "<|im_start|>assistant\n", False),
        Piece("Yes.<|im_end|>", True),
        Piece("\n", False),
    ]


def test_pair_is_shown_twice(workshop: Workshop) -> None:
    """Once with the chosen answer, once with the rejected one."""
    rows = [{"prompt": chat("u:Hello"), "chosen": chat("a:Yes."), "rejected": chat("a:No.")}]
    prepared = workshop.prepare(rows, stage="dpo", source={"format": "preference"})
    shown = dict(sample_pieces(prepared.train, workshop.tokenizer))
    assert list(shown) == ["sample 1 of 1, chosen", "sample 1 of 1, rejected"]
    assert shown["sample 1 of 1, rejected"][-1] == Piece("No.<|im_end|>\n", True)


def test_samples_are_spread_over_the_split(workshop: Workshop) -> None:
    """Three of ten samples are the first, one of the middle and a late one."""
    rows = [{"messages": chat(f"u:{i}", "a:Yes.")} for i in range(10)]
    prepared = workshop.prepare(rows)
    titles = [title for title, _ in sample_pieces(prepared.train, workshop.tokenizer, 3)]
    assert titles == [f"sample {number} of 10" for number in (1, 4, 7)]


def test_mask_is_visible_with_and_without_colour() -> None:
    """Green, line by line; or brackets."""
    pieces = [Piece("u\n", False), Piece("a\nb", True)]
    assert render_pieces(pieces, colour=False) == "u\n⟦a\nb⟧"
    assert render_pieces(pieces, colour=True) == f"u\n{GREEN}a{PLAIN}\n{GREEN}b{PLAIN}"


def test_control_characters_of_a_sample_do_not_drive_the_terminal() -> None:
    """An escape sequence in the data is shown, not obeyed."""
    assert render_pieces([Piece("\x1b[2Ja\r\tb", False)], colour=True) == "\\x1b[2Ja\\x0d\\x09b"


def test_words_are_whole_across_the_mask(workshop_for: Callable[..., Workshop]) -> None:
    """Tokenizers that mark word starts keep the spaces inside a piece."""
    workshop = workshop_for("inst", "metaspace")
    prepared = workshop.prepare([{"messages": chat("u:Hello there", "a:Yes, well.")}])
    [(_, pieces)] = sample_pieces(prepared.train, workshop.tokenizer)
    assert [piece.text.strip() for piece in pieces] == [
        "<s>[INST] Hello there [/INST]",
        "Yes, well. </s>",
    ]
