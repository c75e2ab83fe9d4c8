"""The training process: python -m runner.train RUN_DIR

Reads plan.json, trains, appends to the journal, seals checkpoints, saves the result. Needs no
network. Exit codes: 0 done, 1 failed (failure.json names the fault, else the log), 3 time limit,
75 taken away, 130 stopped; after 3, 75 and 130 the same command goes on from the newest checkpoint.
"""

from __future__ import annotations

import atexit
import faulthandler
import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from runner.errors import EXIT_FAILED, TrainboxError
from runner.plan import Plan, read_plan
from runner.record.heartbeat import Heartbeat
from runner.record.journal import Journal
from runner.record.layout import RunDir
from runner.train.attempt import Attempt
from runner.train.kernels import kernel_caches
from runner.train.orphan import hold_lock_when_orphaned
from runner.train.stop import Stop
from runner.train.terminal import claim_terminal

# Read by the libraries when they are imported: no network, no telemetry, no thread they start
# unasked, and the one workspace setting under which cuBLAS repeats its bits.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "FLASH_ATTENTION_DETERMINISTIC": "1",
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
}
HASH_SEED = "0"
# Said at every checkpoint, about names inside the libraries and a base model that is not on disk
# under its public name.
KNOWN_WARNINGS = ("`is_gradient_checkpointing` is deprecated", "Could not find a config file in")


def main(arguments: Sequence[str]) -> int:
    """Train the run of a directory and return the exit code."""
    run = RunDir(Path(arguments[0]).absolute())
    terminal = claim_terminal()
    faulthandler.register(signal.SIGUSR2, file=sys.stderr)  # where does it hang? kill -USR2 PID
    stop = Stop()
    stop.install()
    if supervisor := os.environ.get("TRAINBOX_SUPERVISOR_PID"):
        stop.follow_parent(int(supervisor))
    if os.environ.get("TRAINBOX_HOLD_LOCK"):
        hold_lock_when_orphaned(run)
    plan = read_plan(run.plan)
    _set_environment(plan)
    with Journal(run.journal, int(os.environ.get("TRAINBOX_ATTEMPT", "1"))) as journal:
        try:
            return _train(
                Attempt(
                    run=run,
                    plan=plan,
                    journal=journal,
                    heartbeat=Heartbeat(run.heartbeat),
                    terminal=terminal,
                    stop=stop,
                )
            )
        except TrainboxError as error:
            print(error.render(), file=sys.stderr, flush=True)
            return _record_failure(run, error)
        except Exception as error:
            # a data worker that dies only now would raise out of these lines (PyTorch's handler)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            traceback.print_exc()
            from runner.train.faults import explain

            return _record_failure(run, explain(error, plan))


def _train(attempt: Attempt) -> int:
    attempt.phase("import")
    # seconds of imports: after the signal handlers stand and the environment is set
    if attempt.job["stage"] == "dpo":
        from runner.train import dpo

        return dpo.train(attempt)
    from runner.train import sft

    return sft.train(attempt)


def _set_environment(plan: Plan) -> None:
    for message in KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    threads = str(plan.training.num_threads)
    os.environ.update(ENVIRONMENT, OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads)
    # A thread that waits sleeps. Spinning, two threads on two busy processors took three times the
    # processor time and six times as long for the same steps of the demo.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for name, folder in kernel_caches(plan.training).items():
        os.environ.setdefault(name, folder)


def _record_failure(run: RunDir, error: TrainboxError) -> int:
    aside = run.failure.with_suffix(".tmp")
    try:
        aside.write_text(json.dumps(error.to_dict(), indent=1) + "\n", encoding="utf-8")
        aside.replace(run.failure)
    except OSError:  # the disk is full; the supervisor sees that too
        aside.unlink(missing_ok=True)
    return EXIT_FAILED


def leave(exit_code: int) -> NoReturn:
    """End the process without taking the libraries apart, which takes a cpu second or more."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # nobody reads, or the disk is full
            stream.flush()
    os._exit(exit_code)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        # Sets of names are written in hash order; the seed is read when the interpreter starts.
        os.environ["PYTHONHASHSEED"] = HASH_SEED
        os.execv(sys.executable, [sys.executable, "-m", "runner.train", *sys.argv[1:]])
    leave(main(sys.argv[1:]))
