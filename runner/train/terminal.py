"""The terminal channel: lines for a person's eyes that must never reach a file.

One JSON object a line on the standard output the process was started with. Everything else that is
printed, by us or by a library, goes to standard error, which is the log.
"""

from __future__ import annotations

import json
import os
import sys


class Terminal:
    """Writes lines to a descriptor; a reader that has gone is no error."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def say(self, **fields: object) -> None:
        """Write one line."""
        line = json.dumps(fields, ensure_ascii=False).encode("utf-8", errors="replace") + b"\n"
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:  # EPIPE: the supervisor is gone and nobody watches
            pass


def claim_terminal() -> Terminal:
    """Keep standard output for the terminal channel and point everybody else's at the log."""
    descriptor = os.dup(1)
    sys.stdout.flush()
    os.dup2(2, 1)
    return Terminal(descriptor)
