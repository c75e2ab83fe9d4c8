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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from types import FrameType
from typing import Any

from runner.backends.base import Backend, OutlivesSupervisor, Process
from runner.claim import only_supervisor, only_trainer
from runner.errors import EXIT_FAILED, BackendError
from runner.oom import OomKills
from runner.outcome import Outcome, judge
from runner.plan import Plan
from runner.record.journal import Event, Journal, read_events
from runner.record.layout import SCHEMA_VERSION, RunDir
from runner.record.state import Lock
from runner.remains import is_out_of_memory, log_tail, named_failure
from runner.revise import Revision, revise
from runner.watch import Tail, Watch

Note = tuple[str, str, dict[str, Any]]  # id, message and further fields of a warning


class Supervisor:
    """Starts one attempt of a run, watches it and closes its record.

    Args:
        run: a run directory that holds plan.json.
        backend: where the training process is started.
        on_event: called with every line of the journal, in order.
        on_terminal: called with every line of the child's standard output; never stored.
        max_seconds: time limit of the attempt, or None.
        grace_seconds: how long a stopping child may take before it is killed.
        stall_seconds: how long the child may show no sign of life; None: as long as it has shown
            that it takes; infinite: for ever.
        say: told what a person should know besides.
        notes: id and message of warnings about how the run goes on, for the journal.
        may_revise: whether a failed attempt may be followed by a smaller one.
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
        stall_seconds: float | None = None,
        say: Callable[[str], None] = lambda line: None,
        notes: Sequence[tuple[str, str]] = (),
        may_revise: bool = True,
    ) -> None:
        self.run_dir = run
        self.plan = plan
        self.backend = backend
        self.on_terminal = on_terminal
        self.max_seconds = max_seconds
        self.grace_seconds = grace_seconds
        self.stall_seconds = stall_seconds
        self.say = say
        self.notes = notes
        self.may_revise = may_revise
        self._tail = Tail(run, on_event)
        self._asked: list[int] = []  # signals that arrived here, in order

    def supervise(self) -> Outcome:
        """Run an attempt to its end, and another where a change can help; return how it ended.

        Raises:
            BackendError: another supervisor or its training process still holds the run.
        """
        began = time.monotonic()
        with (
            only_supervisor(self.run_dir),
            only_trainer(self.run_dir, self.grace_seconds) as lock,
            _signals_into(self._asked),
        ):
            outcome = self._attempt(lock, began, [(id, text, {}) for id, text in self.notes])
            return self._revised(lock, began, outcome)

    def _revised(self, lock: Lock, began: float, outcome: Outcome) -> Outcome:
        """Run further attempts for as long as a change of the plan can help."""
        while not self._asked and (revision := self._revise(outcome)) is not None:
            self.plan = revision.plan
            self.plan.write(self.run_dir.plan)
            note = (revision.id, revision.message, revision.facts)
            outcome = self._attempt(lock, began, [note])
        return outcome

    def _revise(self, outcome: Outcome) -> Revision | None:
        if not self.may_revise:
            return None
        return revise(self.plan, outcome, read_events(self.run_dir.journal))

    def attach(self, ask: int | None = None) -> Outcome:
        """Take over the attempt whose supervisor is gone, and go on as `supervise`.

        Args:
            ask: a signal to send at once.

        Raises:
            BackendError: somebody supervises the run, or there is nothing to take over.
        """
        with only_supervisor(self.run_dir), _signals_into(self._asked):
            start = self._open_attempt()
            process = self._adopt()
            self._asked += [] if ask is None else [ask]
            # the limit counts from the start of the attempt, not from now
            started = time.monotonic() - (time.time() - start["time"])
            watch = self._watch(process, started)
            exit_code = self._accompany(start["attempt"], process, watch)
            with only_trainer(self.run_dir, self.grace_seconds) as lock:
                outcome = self._close(start, process, exit_code, watch.stalled)
                return self._revised(lock, started, outcome)

    def _open_attempt(self) -> Event:
        """Return the start of the attempt that has no end."""
        events = read_events(self.run_dir.journal)
        starts = [event for event in events if event["event"] == "start"]
        if not starts or events[-1]["event"] == "end":
            raise nothing_to_attach(self.run_dir, "no attempt of it is open")
        return starts[-1]

    def _adopt(self) -> Process:
        if not isinstance(self.backend, OutlivesSupervisor):
            raise nothing_to_attach(
                self.run_dir, f"a process of the backend `{self.backend.name}` saves and ends alone"
            )
        process = self.backend.adopt(self.run_dir, say=self.say)
        if process is None:
            raise nothing_to_attach(self.run_dir, "its container is gone")
        return process

    def _attempt(self, lock: Lock, began: float, notes: Sequence[Note]) -> Outcome:
        past = read_events(self.run_dir.journal)
        attempt = 1 + sum(event["event"] == "start" for event in past)
        self.run_dir.failure.unlink(missing_ok=True)
        start = self._open(attempt, notes)
        try:
            process = self.backend.launch(
                self.run_dir,
                {"TRAINBOX_ATTEMPT": str(attempt), "TRAINBOX_SUPERVISOR_PID": str(os.getpid())},
                lock.fd,
            )
        except BackendError as error:
            failed = Outcome(
                status="failed",
                reason=f"{error.what} [{error.id}]",
                exit_code=EXIT_FAILED,
                fault=error.id,
            )
            self._write_end(start, failed, time.time())
            raise
        kills = OomKills(process.pid)
        watch = self._watch(process, began)
        exit_code = self._accompany(attempt, process, watch)
        return self._close(start, process, exit_code, watch.stalled, kills)

    def _open(self, attempt: int, notes: Sequence[Note]) -> Event:
        """Write the first lines of an attempt and return the very first."""
        training = self.plan.training
        with Journal(self.run_dir.journal, attempt) as journal:
            self._tail.to_end()
            start = journal.write(
                "start",
                schema_version=SCHEMA_VERSION,
                run_id=self.run_dir.run_id,
                backend=self.backend.name,
                device=training.device,
                num_steps=training.num_steps,
                micro_batch_size=training.micro_batch_size,
                gradient_accumulation_steps=training.gradient_accumulation_steps,
                pid=os.getpid(),
            )
            for id, message, facts in notes:
                journal.write("warning", id=id, message=message, **facts)
        return start

    def _watch(self, process: Process, began: float) -> Watch:
        return Watch(
            self.run_dir,
            process,
            self._tail,
            asked=self._asked,
            limit_at=began + self.max_seconds if self.max_seconds is not None else None,
            grace_seconds=self.grace_seconds,
            stall_seconds=self.stall_seconds,
            is_local=self.backend.name == "host",
        )

    def _close(
        self,
        start: Event,
        process: Process,
        exit_code: int,
        stalled: str | None,
        kills: OomKills | None = None,
    ) -> Outcome:
        """Write the last line of the attempt, show it, and return how it ended.

        Args:
            stalled: why the process was given up, if it was.
            kills: the kernel's count since it was launched; None: not known.
        """
        outcome = judge(
            exit_code,
            self._asked,
            named_failure(self.run_dir),
            log_tail(self.run_dir),
            is_out_of_memory=is_out_of_memory(process, exit_code, kills),
            stalled=stalled,
        )
        self._write_end(start, outcome, process.ended or time.time())
        self._tail.follow()
        return outcome

    def _write_end(self, start: Event, outcome: Outcome, ended: float) -> None:
        # Opened anew: what a killed child or a full disk left half written is cut off first.
        try:
            with Journal(self.run_dir.journal, start["attempt"]) as journal:
                journal.write("end", **asdict(outcome), time=ended, seconds=ended - start["time"])
        except OSError as error:
            self.say(f"the end of the attempt could not be recorded: {error}")

    def _accompany(self, attempt: int, process: Process, watch: Watch) -> int:
        """Watch a process to its end, show what it says, and return its exit code."""
        try:
            self._write_supervisor_file(attempt, process)
        except OSError:
            process.kill()  # nobody could stop it later
            raise
        reader = threading.Thread(target=self._read_terminal, args=(process,), daemon=True)
        reader.start()
        exit_code = watch.until_end()
        reader.join(timeout=5)
        self._tail.follow()
        return exit_code

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


def nothing_to_attach(run: RunDir, reason: str) -> BackendError:
    """Return the error for a run that no supervisor can take over."""
    return BackendError(
        id="run-not-attachable",
        what=f"there is nothing of {run.run_id} to take over: {reason}",
        where=str(run.path),
        why="a training container that lost its supervisor can be taken over, nothing else",
        fix=f"see `trainbox show {run.run_id}`; go on with: trainbox resume {run.run_id}",
    )


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
