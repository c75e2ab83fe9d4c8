"""Run the training process on this host, in the environment that trainbox itself runs in."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import runner
from runner.plan import Plan
from runner.record.layout import RunDir
from runner.watchdog import is_stopped

SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL|PRIVATE_KEY", re.I)
NOT_SECRET = {"TOKENIZERS_PARALLELISM"}


class HostProcess:
    """A child of this process, leader of a session and process group of its own."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self.pid = child.pid
        self.terminal: BinaryIO | None = child.stdout  # type: ignore[assignment]  # IO[bytes]
        self.is_out_of_memory: bool | None = None  # the kernel tells its log alone
        self.ended: float | None = None

    def poll(self) -> int | None:
        return self._child.poll()

    def send_signal(self, signal_number: int) -> None:
        self._child.send_signal(signal_number)

    def is_paused(self) -> bool:
        return is_stopped(self.pid)

    def kill(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class HostBackend:
    """Starts `python -m runner.train` with this interpreter."""

    name = "host"

    def prepare(self, plan: Plan, *, say: Callable[[str], None]) -> None:
        """Do nothing: `make setup` has made the environment."""

    def surroundings(self) -> Mapping[str, Any]:
        return {}

    def launch(self, run: RunDir, environment: Mapping[str, str], lock_fd: int) -> HostProcess:
        # The log is opened by descriptor, not piped: it outlives the supervisor.
        with run.log.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "runner.train", str(run.path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**child_environment(os.environ), **environment},
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which passes it on
                pass_fds=(lock_fd,),
            )
        return HostProcess(child)


def child_environment(parent: Mapping[str, str]) -> dict[str, str]:
    """Return the parent's variables without secrets, with our code first on the import path."""
    environment = {
        name: value
        for name, value in parent.items()
        if name in NOT_SECRET or not SECRET_NAME.search(name)
    }
    source_root = str(Path(runner.__file__).parent.parent)
    inherited = parent.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([source_root, *([inherited] if inherited else [])])
    # a folder named `runner` in the working directory must not shadow ours
    environment["PYTHONSAFEPATH"] = "1"
    environment["PYTHONUNBUFFERED"] = "1"
    return environment
