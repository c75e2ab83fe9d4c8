"""Evidence as it may be shown: short, and without tokens, user names and home folders."""

from __future__ import annotations

import re

LONGEST = 220  # characters of one quoted line

_SECRETS = (
    (re.compile(r"\b(hf|gh[posur]|github_pat|glpat|sk|pk|xox[abp]|wandb)[_-][A-Za-z0-9_-]{8,}"),
     r"\1_***"),
    (re.compile(r"\bAKIA[A-Z0-9]{12,}"), "AKIA***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 ***"),
    (re.compile(r"(?i)\b([\w-]*(?:token|password|passwd|secret|api_?key))(['\"]?\s*[=:]\s*['\"]?)[^\s'\",;)]{6,}"),
     r"\1\2***"),
    (re.compile(r"(?i)(://)[^/\s:@]+:[^/\s@]+@"), r"\1***@"),
    (re.compile(r"\b[0-9a-f]{40}\b"), "***"),
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+\b"), "<address>"),
    (re.compile(r"(/home/|/Users/|[A-Za-z]:\\+Users\\+)[^/\\\s'\":]+"), r"\1<user>"),
    (re.compile(r"^(\(\w[\w.-]*\) )?[\w.-]+@[\w.-]+(?=:[~/])"), r"\1<user>@<host>"),
)  # fmt: skip


def masked(line: str) -> str:
    """Return one line without what could name a person or open an account."""
    for pattern, replacement in _SECRETS:
        line = pattern.sub(replacement, line)
    return line


def quoted(text: str) -> str:
    """Return a match as evidence: one masked line of limited length."""
    line = " ".join(masked(" ".join(part.split())) for part in text.split("\n") if part.strip())
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
