"""The follower: `python -m runner.follow RUN_DIR JSON`, a child of `trainbox train`.

It samples the machine, reads the journal and sends both to MLflow. Its standard input is a pipe
from the supervisor: closed, it says that the attempt is over (or the supervisor dead), and the
follower sends the rest, sets the final status and ends.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from pathlib import Path

from runner.errors import BackendError
from runner.record.delivery import Delivery, Target, last_event, only_sender
from runner.record.journal import read_from
from runner.record.layout import RunDir, size_of
from runner.record.mlflow_run import UPLOAD_BYTES_PER_SECOND, load, set_environment
from runner.record.state import is_locked, read_state
from runner.record.system_metrics import SystemRecord
from runner.tracking_server import server as tracking_server
from runner.tracking_server.place import Server, place

WAIT_FOR_STEP_SECONDS = 0.5
SEND_EVERY_SECONDS = 2.0
MAX_BACKOFF_SECONDS = 30.0
START_SERVER_SECONDS = 600  # where nothing but a container serves, its image may have to be built
LAST_SECONDS = 120  # for all that is left to send but the adapter
CLOSE_TRIES_SECONDS = 3.0  # how long a server that fails is asked again at the end


def main(argv: list[str]) -> int:
    """Follow one attempt of a run to its end."""
    run, arguments = RunDir(Path(argv[0])), json.loads(argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)  # training comes first
    wait_for_first_step(run, arguments["journal_offset"])
    set_environment()
    is_over = False
    while not is_over:
        # the follower of a supervisor that died goes on as long as its run does
        is_over = is_closed(sys.stdin.fileno(), 0)
        with only_sender(run, wait_seconds=60) as is_ours:
            if is_ours:
                follower = Follow(run, arguments)
                follower.follow()
                follower.close()
                return 0
    return 0


class Follow:
    """The sending side of one attempt.

    Args:
        job_target: `uri`, `experiment` and `artifacts` of the job.
    """

    def __init__(self, run: RunDir, job_target: dict[str, str]) -> None:
        self._run = run
        self._job_target = job_target
        self._delivery = Delivery(run, self._target)
        self._delivery.note(started_server=False)
        self._delivery.guarded("load MLflow", load)
        self._delivery.note(expects_seconds=0)
        self._system: SystemRecord | None = None
        self._start_failure: BackendError | None = None
        self._has_met_server = False

    def follow(self) -> None:
        """Send what is new every two seconds, more seldom while that fails, until the end."""
        backoff = SEND_EVERY_SECONDS
        next_try = 0.0
        while not is_closed(sys.stdin.fileno(), SEND_EVERY_SECONDS) or is_training_alone(self._run):
            self._delivery.guarded("sample the machine", self._sample)
            if time.monotonic() < next_try:
                continue
            is_delivered = self._delivery.deliver()
            backoff = SEND_EVERY_SECONDS if is_delivered else min(2 * backoff, MAX_BACKOFF_SECONDS)
            next_try = time.monotonic() + (0 if is_delivered else backoff)

    def close(self) -> None:
        """Send the rest and the final status; ask a failing server again for three seconds.

        Nobody waits for this for long: what hangs where no time-out reaches is ended by an alarm.
        """
        if self._system is not None:
            self._system.close()
        signal.alarm(LAST_SECONDS + size_of(self._run.adapter) // UPLOAD_BYTES_PER_SECOND)
        deadline = time.monotonic() + CLOSE_TRIES_SECONDS
        while not self._delivery.close(read_state(self._run).status):
            if time.monotonic() > deadline:
                return
            time.sleep(0.5)

    def _sample(self) -> None:
        self._system = self._system or SystemRecord(self._run)
        self._system.sample_if_due()

    def _target(self) -> Target:
        uri, store = self._address()
        experiment, artifacts = self._job_target["experiment"], self._job_target["artifacts"]
        return Target(uri=uri, experiment=experiment, artifacts=artifacts, store=store)

    def _address(self) -> tuple[str, str]:
        """Return address and store; start the local server if the job leaves it to us."""
        if explicit := tracking_server.explicit_uri(self._job_target["uri"]):
            return explicit, explicit
        root = self._run.path.parent
        server = tracking_server.status(root)
        if server is None:
            server = self._start_server(root)
        self._has_met_server = True
        return server.url, server.kind

    def _start_server(self, root: Path) -> Server:
        if self._start_failure is not None:
            raise self._start_failure
        has_crashed = place(root).record.exists()
        if self._has_met_server and not has_crashed:  # `trainbox down` during a run is meant
            raise ConnectionError("the local MLflow server was ended (start it: trainbox up)")
        self._delivery.note(expects_seconds=START_SERVER_SECONDS)
        try:
            server = tracking_server.up(root, may_build=False)
        except BackendError as error:
            self._start_failure = error
            raise
        self._delivery.note(started_server=True, expects_seconds=0)
        return server


def wait_for_first_step(run: RunDir, offset: int) -> None:
    """Return after the first step of this attempt, or when the attempt is over.

    Until then this process has imported nothing that costs the start anything.

    Args:
        offset: bytes of the journal that are of earlier attempts.
    """
    while not is_closed(sys.stdin.fileno(), WAIT_FOR_STEP_SECONDS):
        events, offset = read_from(run.journal, offset)
        if any(event["event"] == "step" for event in events):
            return


def is_closed(stdin: int, timeout_seconds: float) -> bool:
    """Return whether the supervisor has closed our standard input; wait for it so long."""
    ready, _, _ = select.select([stdin], [], [], timeout_seconds)
    if not ready:
        return False
    return os.read(stdin, 1) == b""


def is_training_alone(run: RunDir) -> bool:
    """Return whether the supervisor has died and its training process is still at work."""
    last = last_event(run.journal)
    has_ended = last is not None and last["event"] == "end"
    if has_ended or not is_locked(run):
        return False
    time.sleep(WAIT_FOR_STEP_SECONDS)  # the closed pipe no longer makes us wait
    return True


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
