"""Parent of the training process: signals, time limit, why it ended; closes the record.

The supervisor writes the first and the last line of an attempt into the journal; between the two
the training process is the only writer.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import FrameType

from runner.backends.base import Backend, Process
from runner.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_LIMIT,
    EXIT_PREEMPTED,
    EXIT_STOPPED,
    BackendError,
)
from runner.plan import Plan
from runner.record.journal import Event, Journal, read_events, read_from
from runner.record.layout import SCHEMA_VERSION, RunDir
from runner.record.state import Lock

POLL_SECONDS = 0.1
LOG_TAIL_BYTES = 8192


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended."""

    status: str  # finished | failed | stopped | preempted | limit
    reason: str
    exit_code: int


class Supervisor:
    """Starts one attempt of a run, watches it and closes its record.

    Args:
        run: a run directory that holds plan.json.
        backend: where the training process is started.
        on_event: called with every line of the journal, in order.
        on_terminal: called with every line of the child's standard output; never stored.
        max_seconds: time limit of the attempt, or None.
        grace_seconds: how long a stopping child may take before it is killed.
    """

    def __init__(
        self,
        run: RunDir,
        plan: Plan,
        backend: Backend,
        *,
        on_event: Callable[[Event], None],
        on_terminal: Callable[[str], None],
        max_seconds: float | None,
        grace_seconds: float,
    ) -> None:
        self.run_dir = run
        self.plan = plan
        self.backend = backend
        self.on_event = on_event
        self.on_terminal = on_terminal
        self.max_seconds = max_seconds
        self.grace_seconds = grace_seconds
        self._asked: list[int] = []  # signals that arrived here, in order
        self._passed_on = 0
        self._offset = 0

    def supervise(self) -> Outcome:
        """Run one attempt to its end and return how it ended.

        Raises:
            BackendError: another supervisor or its training process still holds the run.
        """
        lock = self._take_lock()
        try:
            with _signals_into(self._asked):
                return self._attempt(lock)
        finally:
            lock.close()

    def _take_lock(self) -> Lock:
        lock = Lock(self.run_dir)
        # A supervisor that was killed leaves a child that is still writing its checkpoint.
        if lock.acquire(self.grace_seconds if self.run_dir.supervisor.exists() else 0):
            return lock
        lock.close()
        raise BackendError(
            id="run-in-use",
            what=f"run {self.run_dir.run_id} is running already",
            where=str(self.run_dir.path),
            why="two training processes in one run directory would destroy each other's work",
            fix=f"wait for it, or stop it: `trainbox stop {self.run_dir.run_id}`",
        )

    def _attempt(self, lock: Lock) -> Outcome:
        past = read_events(self.run_dir.journal)
        attempt = 1 + sum(event["event"] == "start" for event in past)
        self.run_dir.failure.unlink(missing_ok=True)
        with Journal(self.run_dir.journal, attempt) as journal:
            self._offset = self.run_dir.journal.stat().st_size
            journal.write(
                "start",
                schema_version=SCHEMA_VERSION,
                run_id=self.run_dir.run_id,
                backend=self.backend.name,
                device=self.plan.training.device,
                num_steps=self.plan.training.num_steps,
                pid=os.getpid(),
            )
            started = time.monotonic()
            exit_code = self._launch_and_watch(attempt, lock, started)
            outcome = judge(exit_code, self._asked, self._failure(), self._log_tail())
            journal.write("end", **asdict(outcome), seconds=time.monotonic() - started)
        self._follow_journal()
        return outcome

    def _launch_and_watch(self, attempt: int, lock: Lock, started: float) -> int:
        process = self.backend.launch(
            self.run_dir,
            {"TRAINBOX_ATTEMPT": str(attempt), "TRAINBOX_SUPERVISOR_PID": str(os.getpid())},
            lock.fd,
        )
        self._write_supervisor_file(attempt, process)
        reader = threading.Thread(target=self._read_terminal, args=(process,), daemon=True)
        reader.start()
        exit_code = self._watch(process, started)
        reader.join(timeout=5)
        self._follow_journal()
        return exit_code

    def _watch(self, process: Process, started: float) -> int:
        """Return the child's exit code; pass signals on and keep the time limit meanwhile."""
        kill_at: float | None = None
        limit_at = started + self.max_seconds if self.max_seconds is not None else None
        while (exit_code := process.poll()) is None:
            now = time.monotonic()
            while self._passed_on < len(self._asked):
                process.send_signal(self._asked[self._passed_on])
                self._passed_on += 1
                kill_at = kill_at or now + self.grace_seconds
            if limit_at is not None and now >= limit_at:
                process.send_signal(signal.SIGUSR1)
                kill_at = kill_at or now + self.grace_seconds
                limit_at = None
            if kill_at is not None and now >= kill_at:
                process.kill()
            self._follow_journal()
            time.sleep(POLL_SECONDS)
        process.kill()  # what the child may have left in its process group
        return exit_code

    def _follow_journal(self) -> None:
        events, self._offset = read_from(self.run_dir.journal, self._offset)
        for event in events:
            self.on_event(event)

    def _read_terminal(self, process: Process) -> None:
        if process.terminal is None:
            return
        with process.terminal as lines:
            for line in lines:
                self.on_terminal(line.decode("utf-8", errors="replace").rstrip("\n"))

    def _write_supervisor_file(self, attempt: int, process: Process) -> None:
        facts = {
            "schema_version": SCHEMA_VERSION,
            "attempt": attempt,
            "backend": self.backend.name,
            "supervisor_pid": os.getpid(),
            "training_pid": process.pid,
            "started": time.time(),
        }
        aside = self.run_dir.supervisor.with_suffix(".tmp")
        aside.write_text(json.dumps(facts) + "\n", encoding="utf-8")
        aside.replace(self.run_dir.supervisor)

    def _failure(self) -> dict[str, str] | None:
        try:
            failure = json.loads(self.run_dir.failure.read_text(encoding="utf-8"))
            return {"id": str(failure["id"]), "what": str(failure["what"])}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _log_tail(self) -> str:
        with self.run_dir.log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace")


def judge(
    exit_code: int,
    asked: list[int],
    failure: dict[str, str] | None,
    log_tail: str,
) -> Outcome:
    """Decide how an attempt ended from what its process left behind.

    Args:
        exit_code: of the training process; negative is the signal that killed it.
        asked: signals that the supervisor had passed on.
        failure: the fault the training process named, if it could.
        log_tail: the last lines of the log.
    """
    if exit_code == EXIT_DONE:
        return Outcome(status="finished", reason="all steps done", exit_code=EXIT_DONE)
    if exit_code == EXIT_LIMIT:
        return Outcome(status="limit", reason="time limit of the job reached", exit_code=EXIT_LIMIT)
    if exit_code == EXIT_PREEMPTED:
        return Outcome(
            status="preempted", reason="asked to end from outside", exit_code=EXIT_PREEMPTED
        )
    if exit_code == EXIT_STOPPED:
        return Outcome(status="stopped", reason="stopped by the user", exit_code=EXIT_STOPPED)
    if failure is not None:
        return Outcome(
            status="failed",
            reason=f"{failure['what']} [{failure['id']}]",
            exit_code=EXIT_FAILED,
        )
    if asked:
        by_user = signal.SIGINT in asked
        return Outcome(
            status="stopped" if by_user else "preempted",
            reason="ended before a new checkpoint was written",
            exit_code=EXIT_STOPPED if by_user else EXIT_FAILED,
        )
    if exit_code == -signal.SIGKILL:
        reason = "killed from outside (SIGKILL): most often the machine ran out of memory"
    elif exit_code < 0:
        reason = f"died of {signal.Signals(-exit_code).name}"
    else:
        reason = f"exit code {exit_code}{_last_line(log_tail)}"
    return Outcome(status="failed", reason=reason, exit_code=EXIT_FAILED)


def _last_line(log_tail: str) -> str:
    lines = [line.strip() for line in log_tail.splitlines() if line.strip()]
    return f": {lines[-1][:200]}" if lines else ""


@contextmanager
def _signals_into(asked: list[int]) -> Iterator[None]:
    """Collect SIGINT, SIGTERM and SIGHUP instead of dying of them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers can be set in the main thread alone; a test may run us in another
        return

    def note(signal_number: int, _frame: FrameType | None) -> None:
        asked.append(signal_number)

    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, note) for number in watched}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
