"""A signal that ends the program ends it behind the clearing up."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runner.container.unwind import unwound

WORK = """
import pathlib, signal, sys, tempfile, time
from runner.container.unwind import unwound
signal.signal(signal.SIGHUP, signal.SIG_IGN if "nohup" in sys.argv else signal.SIG_DFL)
with unwound(), tempfile.TemporaryDirectory(dir=sys.argv[1]):
    print("at work", flush=True)
    sys.stdin.readline()
print("done", flush=True)
sys.stdin.readline()
"""


def at_work(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start a process with a temporary folder; return when it has it."""
    child = subprocess.Popen(
        [sys.executable, "-c", WORK, str(folder), *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None and child.stdout.readline() == "at work\n"
    return child


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_is_temporary_goes_and_the_signal_is_the_end(
    number: signal.Signals, tmp_path: Path
) -> None:
    """The folder is removed, and who waits for the process sees which signal it was."""
    with at_work(tmp_path) as child:
        assert len(list(tmp_path.iterdir())) == 1
        child.send_signal(number)
        assert child.wait(60) == -number
    assert list(tmp_path.iterdir()) == []


def test_nohup_holds(tmp_path: Path) -> None:
    """A lost terminal ends nothing that was started to outlive it."""
    with at_work(tmp_path, "nohup") as child:
        child.send_signal(signal.SIGHUP)
        out, _ = child.communicate("\n\n", timeout=60)
        assert (out, child.returncode) == ("done\n", 0)


def test_afterwards_signals_mean_what_they_meant(tmp_path: Path) -> None:
    """Behind the work SIGTERM is the one of before; a thread beside the main one may work too."""
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work() -> None:
        with unwound():
            seen.append(signal.getsignal(signal.SIGTERM))

    with unwound():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
