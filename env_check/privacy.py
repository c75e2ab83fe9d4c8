"""What a report may say of paths and addresses: enough to act on, nothing about the person."""

from __future__ import annotations

import re


def public_path(path: str, home: str) -> str:
    """Return a path with the home folder as `~` and no other person's name in it."""
    if home not in ("", "/") and (path == home or path.startswith(home + "/")):
        return "~" + path[len(home) :]
    return re.sub(r"^/(home|Users|mnt/[a-z]/Users)/[^/]+", r"/\1/…", path)


def public_text(text: str, home: str) -> str:
    """Return program output without home folders, tokens or passwords in addresses."""
    text = text.replace(home, "~") if home not in ("", "/", "/root") else text
    text = re.sub(r"/(home|Users)/[^/\s'\"]+", r"/\1/…", text)
    text = re.sub(r"\b(hf_|sk-|ghp_)\w{8,}", r"\1…", text)
    return re.sub(r"(\w+://)[^/\s@]+@", r"\1…@", text)


def public_url(url: str) -> str:
    """Return an address without user, password and query."""
    return re.sub(r"^(\w+://)[^/@]*@", r"\1", url).split("?")[0]
