"""Messages that programs print, and the cause each speaks for: one row a message."""

from __future__ import annotations

from env_check.explain.signatures import (
    container,
    cures,
    driver,
    extensions,
    hub,
    memory,
    nccl,
    torch,
)
from env_check.explain.signatures.row import Signature

__all__ = ["BY_ID", "SIGNATURES", "Signature"]

SIGNATURES: tuple[Signature, ...] = (
    *driver.ROWS,
    *container.ROWS,
    *torch.ROWS,
    *extensions.ROWS,
    *nccl.ROWS,
    *memory.ROWS,
    *hub.ROWS,
    *cures.ROWS,
)
BY_ID: dict[str, Signature] = {row.id: row for row in SIGNATURES}
