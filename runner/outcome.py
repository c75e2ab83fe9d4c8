"""How an attempt ended, decided from what its process left behind."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from runner.errors import EXIT_DONE, EXIT_FAILED, EXIT_LIMIT, EXIT_PREEMPTED, EXIT_STOPPED

OUT_OF_MEMORY = "out of memory: the kernel killed it (memory of the machine or of the container)"
KILLED = "killed from outside (SIGKILL), not for want of memory"
KILLED_MOST_OFTEN = "killed from outside (SIGKILL): most often the machine ran out of memory"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended."""

    status: str  # finished | failed | stopped | preempted | limit
    reason: str
    exit_code: int
    fault: str | None = None  # id of the fault, where one was named (docs/errors.md)


def judge(
    exit_code: int,
    asked: list[int],
    failure: dict[str, str] | None,
    log_tail: str,
    *,
    is_out_of_memory: bool | None = None,
    stalled: str | None = None,
) -> Outcome:
    """Decide how an attempt ended from what its process left behind.

    Args:
        exit_code: of the training process; negative is the signal that killed it.
        asked: signals that the supervisor had passed on.
        failure: the fault the training process named, if it could.
        log_tail: the last lines of the log.
        is_out_of_memory: whether the kernel killed it for want of memory; None: not known.
        stalled: why the supervisor had given it up, if it had.
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
    if stalled is not None:
        return _failed("train-stalled", stalled)
    if is_out_of_memory:  # a failure that is named as well, as of a worker's death, follows from it
        return _failed("train-killed-for-memory", OUT_OF_MEMORY)
    if failure is not None:
        return _failed(failure["id"], failure["what"])
    if asked:
        by_user = signal.SIGINT in asked
        return Outcome(
            status="stopped" if by_user else "preempted",
            reason="ended before a new checkpoint was written",
            exit_code=EXIT_STOPPED if by_user else EXIT_FAILED,
        )
    if exit_code == -signal.SIGKILL:
        reason = KILLED if is_out_of_memory is False else KILLED_MOST_OFTEN
    elif exit_code < 0:
        reason = f"died of {signal.Signals(-exit_code).name}"
    else:
        reason = f"exit code {exit_code}{_last_line(log_tail)}"
    return Outcome(status="failed", reason=reason, exit_code=EXIT_FAILED)


def _failed(fault: str, what: str) -> Outcome:
    return Outcome(status="failed", reason=f"{what} [{fault}]", exit_code=EXIT_FAILED, fault=fault)


def _last_line(log_tail: str) -> str:
    lines = [line.strip() for line in log_tail.splitlines() if line.strip()]
    return f": {lines[-1][:200]}" if lines else ""
