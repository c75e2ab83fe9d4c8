"""MLflow follows the journal and can never stop a run.

The follower is a process of its own (`python -m runner.follow`): whatever MLflow does there, the
supervisor and the training process do not notice. It waits for the first optimiser step before it
imports MLflow, so that nothing is slower to start. Here is its parent's side, and the later
sending of what is missing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import runner
from runner.plan import Plan
from runner.record.delivery import (
    Delivery,
    Target,
    TrackingState,
    is_complete,
    only_sender,
    read_tracking,
    write_tracking,
)
from runner.record.layout import RunDir
from runner.record.state import read_state

OFF = "none"
AUTO = "auto"
POLL_SECONDS = 0.05
LOAD_SECONDS = 20  # to import MLflow on a busy machine
PLAIN_WORDS = {  # what stands in an error of the HTTP client → what it means
    "Connection refused": "no MLflow server answers at that address",
    "timed out": "the MLflow server does not answer in time",
    "Failed to resolve": "the name of the MLflow server is not known",
    "too many 500 error": "the MLflow server answers with error 500",
    "error code 401": "the MLflow server wants a login (401)",
    "error code 403": "the MLflow server refuses us (403)",
    "filesystem tracking backend": "MLflow 3 writes no plain folders any more; use sqlite:///…",
}


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """How far MLflow has followed a run, for the summary."""

    status: str  # off | complete | behind
    run_id: str
    url: str | None
    num_points: int
    started_server: bool
    error: str | None
    is_sending: bool = False  # the follower was left at work

    @property
    def text(self) -> str:
        """One line for a person."""
        if self.status == "off":
            return "off (tracking.mlflow.uri: none)"
        if self.status == "behind":
            why = f" ({self.error})" if self.error else ""
            still = "what can be sent now still is; " if self.is_sending else ""
            return f"behind{why}; {still}send the rest: trainbox sync {self.run_id}"
        started = "  (server left running; end it: trainbox down)" if self.started_server else ""
        return f"{self.url}{started}"


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What `sync` did for one run."""

    run_id: str
    status: str  # complete | running (all sent so far) | behind | busy | never started
    url: str | None
    num_points: int  # sent now; those that the server had are not doubled
    mlflow_status: str | None
    error: str | None


class Follower:
    """The parent's end of the follower process; None of a process where tracking is off."""

    def __init__(self, run: RunDir, process: subprocess.Popen[bytes] | None) -> None:
        self._run = run
        self._process = process

    def finish(self, timeout_seconds: float, say: Callable[[str], None] | None = None) -> Tracked:
        """Let the follower send the rest; return how far MLflow has come.

        Args:
            timeout_seconds: how long it may go without progress; an upload, or a server that is
                being started, gets what it needs. Then the follower is left to itself: it sends
                what it can and ends, and the command does not wait for it.
            say: told what is being waited for.
        """
        if self._process is None:
            return tracked(self._run, OFF)
        assert self._process.stdin is not None
        self._process.stdin.close()  # the one sign that this attempt has ended
        has_ended = self._wait(self._process, timeout_seconds, say)
        if not has_ended:
            self._process.returncode = 0  # left to itself: keeps Popen from warning of that
        return replace(tracked(self._run, AUTO), is_sending=not has_ended)

    def _wait(
        self,
        process: subprocess.Popen[bytes],
        timeout_seconds: float,
        say: Callable[[str], None] | None,
    ) -> bool:
        """Return whether it has ended."""
        began = time.monotonic()
        seen, since, is_said = read_tracking(self._run), began, False
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
            state, now = read_tracking(self._run), time.monotonic()
            if state != seen and state.num_errors == seen.num_errors:
                seen, since = state, now
            elif now - since > max(timeout_seconds, state.expects_seconds):
                return False
            if say is not None and now - began > 2 and not is_said:
                say("waiting for MLflow to take the rest of the record")
                is_said = True
        return True


def start_follower(run: RunDir, plan: Plan) -> Follower:
    """Start to follow the journal, unless the job turns tracking off."""
    mlflow = plan.job["tracking"]["mlflow"]
    if mlflow["uri"] == OFF:
        return Follower(run, None)
    write_tracking(run, replace(read_tracking(run), expects_seconds=LOAD_SECONDS))
    arguments = {
        **mlflow,
        "experiment": mlflow["experiment"] or plan.job["name"],
        "journal_offset": run.journal.stat().st_size if run.journal.exists() else 0,
    }
    source_root = str(Path(runner.__file__).parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    process = subprocess.Popen(
        [sys.executable, "-m", "runner.follow", str(run.path), json.dumps(arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # errors stand in tracking.json
        start_new_session=True,  # Ctrl-C is for the training; the follower still has to send
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([source_root, *([inherited] if inherited else [])]),
            "PYTHONSAFEPATH": "1",
        },
    )
    return Follower(run, process)


def tracked(run: RunDir, uri: str) -> Tracked:
    """Read how far MLflow has followed a run."""
    state = read_tracking(run)
    status = "off" if uri == OFF else "complete" if is_complete(run) else "behind"
    return Tracked(
        status=status,
        run_id=run.run_id,
        url=state.url,
        num_points=state.num_points,
        started_server=state.started_server,
        error=_error(state) if status == "behind" else None,
    )


def target_of(plan: dict[str, Any], uri: str, store: str) -> Target:
    """Return where a run goes, by its plan.json."""
    mlflow = plan["job"]["tracking"]["mlflow"]
    return Target(
        uri=uri,
        experiment=mlflow["experiment"] or plan["job"]["name"],
        artifacts=mlflow["artifacts"],
        store=store,
    )


def sync(run: RunDir, target: Target, *, again: bool = False) -> SyncReport:
    """Send what MLflow has not got yet, and mend a status that is no longer true.

    Args:
        again: send everything from the beginning, which adds nothing that is there.
    """
    if not run.journal.exists():
        return _report(run, "never started", 0)
    status = read_state(run).status
    with only_sender(run, wait_seconds=2) as is_ours:
        if not is_ours:
            return _report(run, "busy", 0)
        delivery = Delivery(run, lambda: target)
        if again:
            delivery.forget()
        if status == "running":
            result = "running" if delivery.deliver() else "behind"
        else:
            result = "complete" if delivery.close(status) else "behind"
    return _report(run, result, delivery.num_sent)


def _report(run: RunDir, result: str, num_points: int) -> SyncReport:
    state = read_tracking(run)
    return SyncReport(
        run_id=run.run_id,
        status=result,
        url=state.url,
        num_points=num_points,
        mlflow_status=state.status,
        error=_error(state) if result == "behind" else None,
    )


def _error(state: TrackingState) -> str | None:
    """Return the last error in a few words; the whole stands in tracking.json."""
    if state.last_error is None:
        return None
    error = str(state.last_error["error"])
    for sign, plain in PLAIN_WORDS.items():
        if sign in error:
            return plain
    return f"{state.last_error['doing']}: {error.splitlines()[0][:150]}"
