"""Progress on the terminal: where errors go, so that results on stdout stay clean."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Print a line of progress on stderr, at once."""
    print(line, file=sys.stderr, flush=True)
