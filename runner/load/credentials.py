"""Find tokens and passwords in the text of a job; the value itself is never returned.

A run directory keeps a copy of the job file, so a token in it would end on every disk the run
reaches, comments included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """What a kind of token looks like; its pattern is compiled where one of its marks is seen."""

    kind: str
    marks: tuple[str, ...]  # in lower case; every token of the kind has one of them
    pattern: str

    def is_in(self, text: str) -> bool:
        lowered = text.lower()
        return any(mark in lowered for mark in self.marks) and bool(re.search(self.pattern, text))


# Published by their makers (prefix and alphabet); the secret-scanning rules of the public code
# hosts use the same. Long enough that a name of a model or a file does not match.
SHAPES = (
    Shape(
        "a Hugging Face token",
        ("hf_", "api_org_"),
        r"(hf|api_org)_(?=[A-Za-z]*[0-9A-Z])[A-Za-z0-9]{12,}|hf_[a-z]{24,}",
    ),
    Shape("an API key (sk-…)", ("sk-",), r"\bsk-[A-Za-z0-9_-]{16,}"),
    Shape(
        "an AWS access key",
        ("akia", "asia", "abia", "acca"),
        r"\b(AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b",
    ),
    Shape(
        "a GitHub token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_[A-Za-z0-9_]{20,}",
    ),
    Shape("a GitLab token", ("glpat-",), r"\bglpat-[A-Za-z0-9_-]{16,}"),
    Shape("a Slack token", ("xox",), r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    Shape("a Google API key", ("aiza",), r"\bAIza[A-Za-z0-9_-]{30,}"),
    Shape("an NVIDIA API key", ("nvapi-",), r"\bnvapi-[A-Za-z0-9_-]{20,}"),
    Shape("a RunPod key", ("rpa_",), r"\brpa_[A-Z0-9]{24,}"),
    Shape("a Docker token", ("dckr_",), r"\bdckr_(pat|oat)_[A-Za-z0-9_-]{16,}"),
    Shape(
        "a package index token",
        ("pypi-", "npm_"),
        r"\bpypi-[A-Za-z0-9_-]{20,}|\bnpm_[A-Za-z0-9]{30,}",
    ),
    Shape(
        "a Groq or Replicate key",
        ("gsk_", "r8_"),
        r"\bgsk_[A-Za-z0-9]{20,}|\br8_[A-Za-z0-9]{30,}",
    ),
    Shape("a JSON web token", ("eyj",), r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}"),
    Shape(
        "a bearer token",
        ("bearer",),
        r"(?i)\bbearer\s+(?=[^\s]*[0-9])[A-Za-z0-9._~+/-]{12,}",
    ),
    Shape("a private key", ("private key",), r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    Shape("a password in an address", ("@",), r"://[^/\s:@]*:[^/\s@]+@"),
    Shape(
        "a token in an address",
        ("?", "&"),
        r"(?i)[?&](access_token|token|api_?key|key|password|sig|signature|x-amz-signature)="
        r"[^\s&#'\"]{6,}",
    ),
    Shape(
        "the value of an environment variable",
        ("token", "secret", "api_key", "access_key", "password"),
        r"\b[A-Z][A-Z0-9_]*(TOKEN|API_KEY|SECRET|SECRET_KEY|ACCESS_KEY|PASSWORD)\s*[=:]\s*['\"]?"
        r"(?=[^\s'\"]*[0-9])[A-Za-z0-9+/=_.-]{8,}"
        r"|(?i:(api_key|secret_key|access_key|password)\s*[=:]\s*['\"]?"
        r"(?=[^\s'\"]*[0-9])[A-Za-z0-9+/=_.-]{12,})",
    ),
)

_SECRET_NAME = re.compile(
    r"(?:^|[_.-])(?:token|api_?key|secret|secret_?key|access_?key|private_?key|passwd|password|"
    r"passphrase|credentials?|authorization)$",
    re.IGNORECASE,
)
_PART_OF_TEXT = re.compile(r"(?:pad|eos|bos|unk|sep|cls|mask|stop|max|num|special)_tokens?$", re.I)
_REFERENCE = re.compile(r"\$\{?[A-Za-z_]")  # ${HF_TOKEN} is a name, not a value


def token_kind(text: str) -> str | None:
    """Return what kind of token the text holds (`a GitHub token`), or None."""
    return next((shape.kind for shape in SHAPES if shape.is_in(text)), None)


def lines_with_tokens(text: str) -> list[tuple[int, str]]:
    """Return (line, kind) of every line that holds a token, comments included."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if kind := token_kind(line):
            found.append((number, kind))
    return found


def is_secret_value(key: str, written: str | None) -> bool:
    """Return whether a scalar is a secret by the name of its key, as in `api_key: …`."""
    if written is None or len(written) < 4 or written.lower() in ("true", "false", "null", "none"):
        return False
    if _PART_OF_TEXT.search(key) or _REFERENCE.match(written):
        return False
    return bool(_SECRET_NAME.search(key))


def without_tokens(text: str) -> str:
    """Return a text with every token in it replaced."""
    for shape in SHAPES:
        if shape.is_in(text):
            text = re.sub(shape.pattern, "(not shown)", text)
    return text


def shown(value: object, *, limit: int = 60) -> str:
    """Return a value of a job for an error message: quoted, cut, and never a token."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        if not value:
            return "an empty list"
        items = [shown(item) for item in value[:8] if not isinstance(item, dict | list)]
        return f"[{', '.join(items)}]" if items and len(items) == len(value) else "a list"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value) if isinstance(value, int | float) else repr(value)
    if token_kind(text):
        return "a token (not shown)"
    return text if len(text) <= limit else text[: limit - 1] + "…"
