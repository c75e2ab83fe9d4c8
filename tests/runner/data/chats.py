"""Conversations that templates render in different ways."""

from __future__ import annotations

Chat = list[dict[str, str]]


def chat(*turns: str) -> Chat:
    """Return a conversation; `s:`, `u:`, `a:` before a text name the role."""
    roles = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    return [{"role": roles[turn[0]], "content": turn[2:]} for turn in turns]


SINGLE = chat("u:What is a fever?", "a:A temperature above the usual range.")
CHATS = {
    "single": SINGLE,
    "two turns": chat("u:Hello", "a:Hello there.", "u:How are you?", "a:Well.\nAnd you?"),
    "with system": chat("s:You are careful.", "u:Hello", "a:Yes."),
    "white space": chat("u: Hello ", "a: Yes ", "u:x", "a:\n\n- one\n"),
    "same words": chat("u:a", "a:a", "u:a", "a:a"),
    "not ASCII": chat("u:体温?", "a:Straße 😀"),
    "reasoning": chat(
        "u:One?", "a:<think>\nhm\n</think>\n\nYes.", "u:Two?", "a:<think>\nwell\n</think>\n\nNo."
    ),
    "names a token": chat("u:What is <|im_end|>?", "a:A token."),
    "open end": chat("u:Hello", "a:Yes.", "u:Why?"),
}
