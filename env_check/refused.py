"""A request that env-check cannot serve."""

from __future__ import annotations


class Refused(Exception):
    """A request that cannot be served: its error id and the fix."""

    def __init__(self, error_id: str, what: str, *, fix: str) -> None:
        super().__init__(what)
        self.error_id, self.fix = error_id, fix
