"""Reports name no person and no secret."""

from __future__ import annotations

import pytest

from env_check.privacy import public_path, public_text, public_url


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/home/me/.cache/x", "~/.cache/x"),
        ("/home/other/lib", "/home/…/lib"),
        ("/mnt/c/Users/Other/x", "/mnt/c/Users/…/x"),
        ("/usr/local/cuda/lib64", "/usr/local/cuda/lib64"),
        ("/home/me", "~"),
        ("/home/meadow/x", "/home/…/x"),
    ],
)
def test_a_path_shows_no_name(path: str, shown: str) -> None:
    """One's own home is `~`, that of others `…`."""
    assert public_path(path, "/home/me") == shown


def test_program_output_shows_no_name_and_no_secret() -> None:
    """Home folders, tokens and passwords in addresses are masked wherever they stand."""
    text = "File /home/me/a.py, /home/other/b.py: hf_abcdefghijklmn at http://u:p@host/x"
    shown = public_text(text, "/home/me")
    for secret in ("/home/me", "other", "abcdefgh", "u:p"):
        assert secret not in shown
    assert "~/a.py" in shown and "host/x" in shown


def test_an_address_shows_no_password() -> None:
    """User, password and query are cut off."""
    assert public_url("https://u:p@host:5000/x?token=1") == "https://host:5000/x"
