"""A training container as the supervisor sees it: started or adopted, watched, signalled.

The engine may go away meanwhile (a restart, a crash) and come back; the container may go on without
it. All that the SDK raises for an answer or for none is an OSError.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from runner.container.engine import connect, is_reachable
from runner.errors import EXIT_STOPPED, BackendError
from runner.record.layout import RunDir

RETRY_SECONDS = 1.0
SAY_AFTER_SECONDS = 5.0  # a restart of the engine is shorter
GIVE_UP_SECONDS = 60.0  # without engine and without a living process
GONE = 137  # exit code of a container that somebody removed


class ContainerProcess:
    """A training container; standard output arrives over the engine and is stored nowhere.

    Args:
        container: its id.
        run: whose log takes what the container says before its log is open.
        say: told when the engine goes away, and when it is back.
    """

    def __init__(self, container: str, run: RunDir, say: Callable[[str], None]) -> None:
        self.pid = 0
        self.is_out_of_memory: bool | None = None
        self.ended: float | None = None
        self._container = container
        self._run = run
        self._say = say
        self._exit_code: int | None = None
        self._lost: BackendError | None = None
        self._has_ended = threading.Event()
        self._control = connect()
        self._streams = connect(timeout_seconds=None)
        reader, self._writer = os.pipe()
        self.terminal: BinaryIO = os.fdopen(reader, "rb")
        self._pump = threading.Thread(target=self._pump_output, daemon=True)
        self._wait = threading.Thread(target=self._wait_for_end, daemon=True)
        self._output: Any = None

    def start(self) -> None:
        """Start the container, its output attached before.

        Raises:
            docker.errors.APIError: the engine cannot.
        """
        self._output = self._attach()
        try:
            self._control.start(self._container)
        except OSError:
            self._close_output()
            self._close()
            self.terminal.close()
            os.close(self._writer)
            raise
        self._watch(self._control.inspect_container(self._container)["State"])

    def adopt(self) -> None:
        """Watch a container that somebody else has started, running or ended."""
        state = self._control.inspect_container(self._container)["State"]
        if state["Running"]:
            self._output = self._attach()
            self._watch(state)
        else:
            os.close(self._writer)
            self._note_end(state)

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs.

        Raises:
            BackendError: it has ended, and the engine that knows how does not answer.
        """
        if self._lost is not None:
            raise self._lost
        return self._exit_code

    def send_signal(self, signal_number: int) -> None:
        try:
            self._control.kill(self._container, signal_number)
        except OSError:  # it has ended meanwhile, or the engine is away
            self._signal_directly(signal_number)

    def is_paused(self) -> bool:
        return bool((self._state() or {}).get("Paused"))

    def kill(self) -> None:
        if self._exit_code is None and self._lost is None:
            self.send_signal(signal.SIGKILL)
            return
        if self._pump.ident:
            self._pump.join(timeout=5)
            self._hang_up()
        if self._lost is None:  # else the engine still has to tell how it ended
            # OSError: somebody else did, or the engine is away; the next attempt removes it
            with suppress(OSError):
                self._control.remove_container(self._container, force=True)
        if self._wait.ident:
            self._wait.join(timeout=5)
        self._close()

    def _close(self) -> None:
        self._streams.close()
        self._control.close()

    def _watch(self, state: dict[str, Any]) -> None:
        self.pid = state["Pid"]
        self._pump.start()
        self._wait.start()

    def _attach(self) -> Any:
        return self._streams.attach_socket(self._container, {"stdout": 1, "stderr": 1, "stream": 1})

    def _signal_directly(self, signal_number: int) -> None:
        """Signal its first process past an engine that is away; it passes signals on."""
        if self._is_alive():
            with suppress(OSError):  # of another user, as in a rootless engine
                os.kill(self.pid, signal_number)

    def _is_alive(self) -> bool:
        """Return whether its first process is there, told from a later one by its control group."""
        try:
            groups = Path(f"/proc/{self.pid}/cgroup").read_text(encoding="utf-8")
        except OSError:
            return False
        return self._container in groups

    def _pump_output(self) -> None:
        """Hand standard output on until the end; an engine that was away is attached to again."""
        with os.fdopen(self._writer, "wb", buffering=0) as terminal:
            while True:
                try:
                    if self._output is None and self._is_running():
                        self._output = self._attach()
                    if self._output is not None:
                        self._copy(terminal)
                except BrokenPipeError:  # nobody looks any more
                    return
                except OSError:
                    pass
                finally:
                    self._close_output()
                if self._has_ended.wait(RETRY_SECONDS):
                    return

    def _copy(self, terminal: BinaryIO) -> None:
        """Copy standard output; what came before the log was open goes into the log."""
        from docker.utils.socket import STDOUT, frames_iter

        for stream, data in frames_iter(self._output, tty=False):  # type: ignore[no-untyped-call]
            if stream == STDOUT:
                terminal.write(data)
            else:
                with self._run.log.open("ab") as log:
                    log.write(data)

    def _is_running(self) -> bool:
        """Ask the engine: to be attached to a container that has ended is to wait for ever."""
        return is_reachable() and bool((self._state() or {}).get("Running"))

    def _hang_up(self) -> None:
        """Wake a pump that was attached in the very moment of the end."""
        beneath = getattr(self._output, "_sock", None)
        if self._pump.is_alive() and beneath is not None:
            with suppress(OSError):  # the pump has just closed it
                beneath.shutdown(socket.SHUT_RDWR)
            self._pump.join(timeout=5)

    def _close_output(self) -> None:
        """Close the stream, and the socket beneath it that the SDK leaves to nobody."""
        output, self._output = self._output, None
        if output is None:
            return
        beneath = getattr(output, "_sock", None)
        output.close()
        if beneath is not None:
            beneath.close()

    def _wait_for_end(self) -> None:
        """Note how it ended; an engine that is away is waited for as long as the process lives."""
        from docker.errors import NotFound

        while not self._has_ended.is_set():
            try:
                code = self._streams.wait(self._container)["StatusCode"]
                self._note_end(self._state() or {"ExitCode": code})
            except NotFound:
                self._note_end({"ExitCode": GONE})
            except OSError:
                if not self._outlast_engine():
                    self._lost = engine_lost(self._run)
                    self._has_ended.set()

    def _outlast_engine(self) -> bool:
        """Wait for the engine to answer again; return whether it does before all is lost."""
        since, is_said = time.monotonic(), False
        while True:
            time.sleep(RETRY_SECONDS)
            away = time.monotonic() - since
            if self._answers():
                if is_said:
                    self._say("the Docker engine answers again")
                return True
            if away > SAY_AFTER_SECONDS and not is_said:
                self._say("the Docker engine does not answer; the run may go on without it")
                is_said = True
            if away > GIVE_UP_SECONDS and not self._is_alive():
                return False

    def _answers(self) -> bool:
        try:
            return is_reachable() and bool(self._control.ping())
        except OSError:
            return False

    def _state(self) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = self._control.inspect_container(self._container)["State"]
        except OSError:  # removed in the moment it ended
            return None
        return state

    def _note_end(self, state: dict[str, Any]) -> None:
        self.is_out_of_memory = state.get("OOMKilled")
        self.ended = seconds_of(state.get("FinishedAt", ""))
        self._exit_code = exit_code_of(state["ExitCode"])
        self._has_ended.set()


def exit_code_of(status: int) -> int:
    """Return a container's status as `Process.poll` does: negative where a signal ended it."""
    # 130 is also what the training process says after Ctrl-C; it says it far more often
    is_signal = 128 < status < 128 + signal.NSIG and status != EXIT_STOPPED
    return 128 - status if is_signal else status


def seconds_of(stamp: str) -> float | None:
    """Return the engine's time stamp in seconds since 1970; None for the zero it gives before."""
    if not stamp or stamp.startswith("0001"):
        return None
    whole, _, fraction = stamp.rstrip("Z").partition(".")  # nanoseconds: more than Python reads
    seconds = datetime.fromisoformat(whole + "+00:00").timestamp()
    return seconds + float(f"0.{fraction or 0}")


def engine_lost(run: RunDir) -> BackendError:
    """Return the error for a container that ended while its engine was away."""
    return BackendError(
        id="docker-engine-lost",
        what="the Docker engine went away and the training container has ended",
        where=str(run.path),
        why="only the engine knows how it ended; its checkpoints are in the run directory",
        fix=f"start the engine, then: trainbox attach {run.run_id}",
    )
