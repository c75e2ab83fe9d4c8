"""Keep a run's lock after its supervisor died, where no descriptor could be handed over.

On the host the training process inherits the supervisor's lock. A container cannot; it waits for
the lock instead, and gets it in the moment the supervisor is gone: the run counts as running, and a
second supervisor is kept out.
"""

from __future__ import annotations

import fcntl
import threading

from runner.record.layout import RunDir
from runner.record.state import Lock


def hold_lock_when_orphaned(run: RunDir) -> None:
    """Wait for the run's lock in a thread; the end of this process gives it back."""
    lock = Lock(run)
    threading.Thread(target=fcntl.flock, args=(lock.fd, fcntl.LOCK_EX), daemon=True).start()
