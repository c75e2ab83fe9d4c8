"""The training stack imported once; every training process of the tests is a fork of that.

An import of torch, transformers, peft and trl costs 6 to 20 cpu seconds, a training run of the tiny
model two. `ForkedTrainer` is a backend (`runner.backends.base.Backend`): what it launches is
`runner.train.__main__.main` itself, in its own session and process group, with its own standard
streams. The server only imports and never computes, so that no thread pool is forked.

    python -m tests.forked_trainer DESCRIPTOR      (started by ForkedTrainer)
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from runner.plan import Plan
from runner.record.layout import RunDir
from runner.watchdog import is_stopped

ROOT = Path(__file__).parents[1]
CRASHED = 70  # the forked main() raised
# Imported late by the stack itself; once here instead of once a case.
LAZY = (
    "accelerate",
    "bitsandbytes",
    "runner.train.dpo",
    "runner.train.sft",
    "transformers.generation",
    "transformers.models.llama.modeling_llama",
    "transformers.integrations.bitsandbytes",
    "transformers.quantizers.quantizer_bnb_4bit",
)


class ForkedProcess:
    """A forked training process, with the methods of `runner.backends.base.Process`."""

    def __init__(self, status: socket.socket, terminal: BinaryIO | None) -> None:
        self._status = status.makefile("r")
        status.close()
        self.pid = int(self._status.readline())
        self.terminal = terminal
        self.is_out_of_memory: bool | None = None
        self.ended: float | None = None
        self._exit_code: int | None = None
        os.set_blocking(self._status.fileno(), False)

    def poll(self) -> int | None:
        """Return the exit code (negative: killed by that signal), or None while it runs."""
        if self._exit_code is None:
            line = self._status.readline()
            if line:
                self._exit_code = int(line)
                self._status.close()
        return self._exit_code

    def wait(self, timeout_seconds: float = 600) -> int:
        """Wait for the end and return the exit code."""
        deadline = time.monotonic() + timeout_seconds
        while (exit_code := self.poll()) is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"process {self.pid} ran longer than {timeout_seconds} s")
            time.sleep(0.01)
        if self.terminal is not None:
            self.terminal.close()
        return exit_code

    def send_signal(self, signal_number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal_number)

    def is_paused(self) -> bool:
        return is_stopped(self.pid)

    def kill(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class ForkedTrainer:
    """Launches training processes from one warm parent; close it at the end.

    `fault` is Python that a training process runs before `main`: a place to break things from.
    """

    name = "host"
    fault = ""

    def prepare(self, plan: Plan, *, say: Callable[[str], None]) -> None:
        """Do nothing, as the host backend."""

    def surroundings(self) -> Mapping[str, Any]:
        return {}

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.forked_trainer", str(theirs.fileno())],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self._requests = ours

    @property
    def pid(self) -> int:
        """The warm parent's process id."""
        return self._server.pid

    def launch(
        self, run: RunDir, environment: Mapping[str, str], lock_fd: int | None = None
    ) -> ForkedProcess:
        """Start the training process of a run directory; its log is appended to."""
        reader, writer = os.pipe()
        status, their_status = socket.socketpair()
        with run.log.open("ab") as log:
            descriptors = [their_status.fileno(), writer, log.fileno()]
            descriptors += [lock_fd] if lock_fd is not None else []
            request = {
                "run": str(run.path),
                "environment": dict(environment),
                "fault": self.fault,
            }
            socket.send_fds(self._requests, [json.dumps(request).encode()], descriptors)
        os.close(writer)
        their_status.close()
        return ForkedProcess(status, os.fdopen(reader, "rb"))

    def start(self, run: RunDir, **environment: str) -> ForkedProcess:
        """Launch a run without a supervisor."""
        return self.launch(run, environment)

    def train(self, run: RunDir, **environment: str) -> int:
        """Run one attempt to its end and return the exit code."""
        process = self.start(run, **environment)
        assert process.terminal is not None
        with process.terminal:
            process.terminal.read()
        return process.wait()

    def run_python(self, code: str, *arguments: str) -> None:
        """Run code in a fork, for checks that need torch; `arguments` is in its scope."""
        status, their_status = socket.socketpair()
        request = {"code": code, "arguments": arguments}
        descriptors = [their_status.fileno(), sys.__stderr__.fileno(), sys.__stderr__.fileno()]
        socket.send_fds(self._requests, [json.dumps(request).encode()], descriptors)
        their_status.close()
        assert ForkedProcess(status, None).wait() == 0, "see the traceback above"

    def close(self) -> None:
        self._requests.close()
        self._server.wait(timeout=600)  # it may be at its imports still


def serve(requests: socket.socket) -> None:
    """Fork a monitor and a child per request until the other end closes."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # monitors are reaped by the kernel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 1 << 16, 8)
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            _monitor(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _monitor(request: dict[str, Any], descriptors: list[int]) -> None:
    """Fork the child, write its pid and later its exit code, and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    status, stdout, stderr, *lock = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(status)
        os._exit(_child(request, stdout, stderr))
    os.write(status, f"{pid}\n".encode())
    for descriptor in {stdout, stderr, *lock}:
        os.close(descriptor)
    _, waited = os.waitpid(pid, 0)
    os.write(status, f"{os.waitstatus_to_exitcode(waited)}\n".encode())
    os._exit(0)


def _child(request: dict[str, Any], stdout: int, stderr: int) -> int:
    from runner.train.__main__ import main

    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(stdout)
    if stderr != stdout:
        os.close(stderr)
    os.environ.update(request.get("environment", {}))
    # its parent is the monitor, not the supervisor
    os.environ.pop("TRAINBOX_SUPERVISOR_PID", None)
    try:
        if "code" in request:
            exec(request["code"], {"arguments": request["arguments"]})
            return 0
        exec(request["fault"], {})
        return main([request["run"]])
    except BaseException:
        import traceback

        traceback.print_exc()
        return CRASHED
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    import importlib

    from runner.train.__main__ import ENVIRONMENT

    os.environ.update(ENVIRONMENT)
    for module in LAZY:
        importlib.import_module(module)
    serve(socket.socket(fileno=int(sys.argv[1])))
