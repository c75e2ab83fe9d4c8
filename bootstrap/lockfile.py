"""Read and write lock files: exact versions, with the SHA-256 of every file allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Packages with several builds of one version: `torch==2.13.0` would also accept 2.13.0+cpu, both
# where it is installed already and where a find-links folder offers it; `===` is literal.
SEVERAL_BUILDS = ("torch",)
REQUIREMENT = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)={2,3}(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]*?))?\s*\\?$"
)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One locked package."""

    name: str
    version: str
    marker: str | None  # environment marker; None: for every target of the lock
    hashes: tuple[str, ...]  # SHA-256, sorted
    via: tuple[str, ...]  # what asked for it; `-r FILE` for an input

    @property
    def is_direct(self) -> bool:
        """Whether an input file names it."""
        return any(source.startswith("-r ") for source in self.via)

    def render(self) -> str:
        """Return the lines of this pin, as pip reads them."""
        marker = f" ; {self.marker}" if self.marker else ""
        hashes = " \\\n".join(f"    --hash=sha256:{digest}" for digest in self.hashes)
        via = f"\n    # via {', '.join(self.via)}" if self.via else ""
        equals = "===" if self.name in SEVERAL_BUILDS else "=="
        return f"{self.name}{equals}{self.version}{marker} \\\n{hashes}{via}\n"


def parse_lock(text: str) -> tuple[Pin, ...]:
    """Return the pins of a lock file or of an input file, in their order."""
    pins: list[Pin] = []
    for block in _blocks(text):
        match = REQUIREMENT.match(block[0].split("#")[0].rstrip())
        if match is None:
            continue
        pins.append(
            Pin(
                name=match["name"],
                version=match["version"],
                marker=match["marker"] or None,
                hashes=tuple(sorted(HASH.findall("\n".join(block)))),
                via=_via(block),
            )
        )
    return tuple(pins)


def render_lock(pins: Iterable[Pin], *, source: str, inputs: str) -> str:
    """Return the text of a lock file.

    Args:
        pins: the packages, sorted by name.
        source: name of the input file.
        inputs: SHA-256 over the input files, so that a stale lock is seen without resolving.
    """
    head = f"# Written by `make lock` from {source}; do not edit.\n# inputs: sha256:{inputs}\n"
    return head + "".join(pin.render() for pin in pins)


def inputs_of(lock_text: str) -> str | None:
    """Return the digest of the input files that a lock says it was made from."""
    match = re.search(r"^# inputs: sha256:([0-9a-f]{64})$", lock_text, re.MULTILINE)
    return match[1] if match else None


def _blocks(text: str) -> list[list[str]]:
    """Split into requirements, each with its continuation and comment lines."""
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if line[:1].isalnum():
            blocks.append([line])
        elif blocks and line[:1].isspace():
            blocks[-1].append(line)
    return blocks


def _via(block: list[str]) -> tuple[str, ...]:
    comments = [line.strip()[1:].strip() for line in block if line.strip().startswith("#")]
    words = ", ".join(re.sub(r"^via\b", "", comment).strip() for comment in comments)
    return tuple(word for word in words.split(", ") if word and not word.startswith("-c "))
