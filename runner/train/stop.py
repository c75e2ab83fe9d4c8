"""What signals ask of the training process, and how it ends when there is nothing to save.

SIGTERM and SIGHUP: taken away, start me again (75). SIGINT: the user stops it (130). SIGUSR1: the
time limit (3). Inside the training loop the first signal lets the step finish and a checkpoint be
sealed; outside it (start, last evaluation, saving the result) nothing would be lost by leaving at
once, so that is what happens, with the same exit code. A second signal ends the process at once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from runner.errors import EXIT_LIMIT, EXIT_PREEMPTED, EXIT_STOPPED

EXIT_CODES = {
    signal.SIGTERM: EXIT_PREEMPTED,
    signal.SIGHUP: EXIT_PREEMPTED,
    signal.SIGINT: EXIT_STOPPED,
    signal.SIGUSR1: EXIT_LIMIT,
}
PR_SET_PDEATHSIG = 1  # linux/prctl.h
ECHO_SECONDS = 5.0
DYING_SECONDS = 0.2


class Stop:
    """Notes the first signal; the training loop asks `requested` at the end of a step."""

    def __init__(self) -> None:
        self._signal: signal.Signals | None = None
        self._noted = 0.0  # when the first signal came, of the monotonic clock
        self._supervisor: int | None = None
        self._is_training = False

    @property
    def requested(self) -> bool:
        return self._signal is not None

    @property
    def exit_code(self) -> int:
        """Exit code of the signal that came; only after `requested`."""
        assert self._signal is not None, "no signal came"
        return EXIT_CODES[self._signal]

    @property
    def reason(self) -> str:
        """Why a checkpoint is written now, in the journal's words."""
        return "limit" if self._signal == signal.SIGUSR1 else "signal"

    def install(self) -> None:
        """Take over the four signals, from the main thread."""
        for number in EXIT_CODES:
            signal.signal(number, self._note)

    def follow_parent(self, supervisor_pid: int) -> None:
        """Have the kernel send SIGTERM when the supervisor dies.

        Linux only; elsewhere an orphan goes on to its end, as a container does.
        """
        self._supervisor = supervisor_pid
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        except (AttributeError, OSError):
            return
        if os.getppid() != supervisor_pid:  # it died before the kernel was asked
            signal.raise_signal(signal.SIGTERM)

    @contextmanager
    def at_step_end(self) -> Iterator[None]:
        """Let a signal wait for the end of the step, inside this block."""
        self._is_training = True
        try:
            yield
        finally:
            self._is_training = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Have a signal end the process, inside this block of one that waits for steps.

        For what comes before the first step: a run that left it out could not make up for it later.
        """
        self._is_training = False
        if self.requested:
            os._exit(self.exit_code)
        try:
            yield
        finally:
            self._is_training = True

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._is_echo(number):
            return
        if self._signal is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            os._exit(128 + number)  # process 1 of a container does not die of its own signals
        self._signal, self._noted = signal.Signals(number), time.monotonic()
        if not self._is_training:
            # not an exception: half-imported libraries catch those
            os._exit(EXIT_CODES[self._signal])

    def _is_echo(self, number: int) -> bool:
        """Tell whether this is the kernel's word of the supervisor's death once more.

        It comes again for every thread of the supervisor that outlives the others for a moment and
        takes the orphan in (seen two times in twelve, 1 to 11 ms later).
        """
        since = time.monotonic() - self._noted
        if self._signal != signal.SIGTERM or number != signal.SIGTERM or since > ECHO_SECONDS:
            return False
        deadline = time.monotonic() + DYING_SECONDS
        while os.getppid() == self._supervisor and time.monotonic() < deadline:
            time.sleep(0.005)  # its last thread may not be gone yet
        return self._supervisor is not None and os.getppid() != self._supervisor
