"""What a terminal or a scheduler ends is cleared up as after Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any] | int | None


class Ended(KeyboardInterrupt):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def unwound() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise, so that what is temporary is removed; then they do their work.

    Python ends at once otherwise: a build's folder of gigabytes would stay, and the copy of pip's
    settings. A signal that is ignored (nohup) stays so; a thread beside the main one has none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    heard = [number for number, handler in handlers.items() if handler is not signal.SIG_IGN]

    def end(number: int, _: FrameType | None) -> None:
        for each in heard:  # a lost terminal sends both; the clearing up is not to be cut short
            signal.signal(each, signal.SIG_IGN)
        raise Ended(number)

    try:
        for number in heard:
            signal.signal(number, end)
        yield
    except Ended as ended:
        _restore(handlers)
        signal.raise_signal(ended.number)
        raise
    finally:
        _restore(handlers)


def _restore(handlers: Mapping[signal.Signals, Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
