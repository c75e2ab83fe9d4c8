"""When a checkpoint is due, how it is sealed, and from which one a run goes on."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from runner.errors import CheckpointError
from runner.plan import Plan
from runner.record import checkpoint
from runner.record.journal import RESUME_FORCED, read_events
from runner.train.attempt import Attempt
from runner.train.model import ADAPTER_FILES, MODEL_FILES, check_finite, trainable

STATE_FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
# Not sealed: a pickle of all arguments, and a model card with the paths of this machine.
DROPPED_FILES = ("training_args.bin", "README.md")
MOST_FAILED_SAVES = 3


def find_checkpoint(attempt: Attempt) -> Path | None:
    """Return the checkpoint to go on from, or None to begin; damaged ones are set aside.

    Raises:
        CheckpointError: it belongs to another run.
    """
    run = attempt.run
    checkpoint.clean(run)
    run.checkpoints.mkdir(exist_ok=True)
    found, skipped = checkpoint.newest_valid(run.checkpoints)
    checkpoint.quarantine(run.checkpoints, skipped)
    if found is None and not skipped:
        return None
    attempt.journal.write(
        "resume",
        step=checkpoint.step_of(found) if found else 0,
        checkpoint=found.name if found else None,
        skipped=[asdict(one) for one in skipped],
    )
    if found and not _belongs(found, attempt):
        raise CheckpointError(
            id="checkpoint-of-another-run",
            what=f"{found.name} was made with another model, data or hyper-parameters",
            where=str(found),
            why="the result would be neither the one run nor the other",
            fix="start the changed job as a new run, or take the change back",
        )
    return found


def _belongs(found: Path, attempt: Attempt) -> bool:
    """Return whether a checkpoint is of this plan, or the user has let the run change its plan."""
    if checkpoint.read_manifest(found)["identity"] == attempt.plan.identity:
        return True
    warnings = [one for one in read_events(attempt.run.journal) if one["event"] == "warning"]
    return any(one["id"] == RESUME_FORCED for one in warnings)


class Saver:
    """Decides when to save, and saves so that a failure costs no more than the checkpoint."""

    def __init__(self, attempt: Attempt, resumed: Path | None) -> None:
        self._attempt = attempt
        self._previous: dict[str, str] | None = None
        self._last_bytes = 0
        self._last_time = time.monotonic()
        self._num_failed = 0
        self._reason = ""
        if resumed is not None:
            manifest = checkpoint.read_manifest(resumed)
            self._previous = {"checkpoint": resumed.name, "sha256": manifest["sha256"]}
            self._last_bytes = sum(entry["bytes"] for entry in manifest["files"].values())

    def is_due(self, step: int) -> bool:
        """Tell whether the step that just ended is saved, and remember why."""
        every = self._attempt.job["checkpoint"]
        minutes = every["save_minutes"]
        if self._attempt.stop.requested:
            self._reason = self._attempt.stop.reason
        elif step >= self._attempt.plan.training.num_steps:
            self._reason = "last"
        elif step % every["save_steps"] == 0:
            self._reason = "interval"
        elif minutes is not None and time.monotonic() - self._last_time >= 60 * minutes:
            self._reason = "clock"
        else:
            return False
        return True

    def save(self, write: Callable[[], None], model: torch.nn.Module, step: int) -> None:
        """Write a checkpoint aside and seal it; a failure is a warning, the third in a row an end.

        Args:
            write: writes the trainer's files into the staging folder.

        Raises:
            TrainingError: the weights are not finite.
            CheckpointError: nothing could be saved three times in a row.
        """
        check_finite(model, step)
        started = time.monotonic()
        attempt = self._attempt
        try:
            self._check_room()
            write()
            sealed = self._seal(model, step)
        except Exception as error:  # a full disk shows as OSError, RuntimeError, SafetensorError …
            self._failed(error, step)
            return
        finally:
            shutil.rmtree(attempt.run.staging, ignore_errors=True)
            self._last_time = time.monotonic()
        self._num_failed = 0
        self._previous = {"checkpoint": sealed.path.name, "sha256": sealed.sha256}
        self._last_bytes = sealed.bytes
        attempt.journal.write(
            "checkpoint",
            step=step,
            checkpoint=sealed.path.name,
            bytes=sealed.bytes,
            seconds=time.monotonic() - started,
            reason=self._reason,
        )
        checkpoint.prune(attempt.run.checkpoints, attempt.job["checkpoint"]["keep"])

    def _check_room(self) -> None:
        free, needed = shutil.disk_usage(self._attempt.run.checkpoints).free, 2 * self._last_bytes
        if free < needed:
            raise OSError(errno.ENOSPC, f"{free} bytes free, {needed} needed for two checkpoints")

    def _seal(self, model: torch.nn.Module, step: int) -> checkpoint.Sealed:
        attempt = self._attempt
        staging = attempt.run.staging / f"checkpoint-{step}"  # the trainer's own name for it
        for name in DROPPED_FILES:
            (staging / name).unlink(missing_ok=True)
        return checkpoint.seal(
            staging,
            checkpoint.checkpoint_path(attempt.run.checkpoints, step),
            facts={
                "run_id": attempt.plan.run_id,
                "step": step,
                "attempt": attempt.journal.attempt,
                "identity": attempt.plan.identity,
                "dtypes": dtypes_of(model),
                "previous": self._previous,
                "machine": _machine(),
            },
            required=_required(attempt.plan),
        )

    def _failed(self, error: Exception, step: int) -> None:
        self._num_failed += 1
        reason = error.what if isinstance(error, CheckpointError) else f"{error}"
        self._attempt.warn(
            "checkpoint-failed", f"step {step} was not saved: {type(error).__name__}: {reason}"
        )
        if self._num_failed >= MOST_FAILED_SAVES:
            raise CheckpointError(
                id="checkpoint-cannot-be-written",
                what=f"{self._num_failed} checkpoints in a row could not be written: {reason}",
                where=str(self._attempt.run.checkpoints),
                why="training on would risk all the steps since the last one",
                fix="free space on that disk and start the same command: the run goes on",
            ) from error


def check_dtypes(model: torch.nn.Module, resumed: Path) -> None:
    """Refuse to go on in another precision than the checkpoint was trained in.

    Raises:
        CheckpointError: the trained parameters have other types now.
    """
    saved, now = checkpoint.read_manifest(resumed)["dtypes"], dtypes_of(model)
    if saved != now:
        raise CheckpointError(
            id="checkpoint-other-dtype",
            what=f"trained parameters were {', '.join(saved)} and are {', '.join(now)} now",
            where=str(resumed),
            why="the run would go on with other rounding, silently",
            fix="resume with the versions of the libraries the run was started with",
        )


def dtypes_of(model: torch.nn.Module) -> list[str]:
    """Return the types of the trained parameters, each once."""
    return sorted({str(one.dtype).removeprefix("torch.") for one in trainable(model).values()})


def _required(plan: Plan) -> tuple[str, ...]:
    weights = MODEL_FILES if plan.job["method"] == "full" else ADAPTER_FILES
    scaler = ("scaler.pt",) if plan.training.compute_dtype == "float16" else ()
    return (*weights, *STATE_FILES, *scaler)


def _machine() -> dict[str, Any]:
    """Return what the bits of the next step depend on beside the files."""
    facts: dict[str, Any] = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }
    if torch.cuda.is_available():
        facts |= {
            "device": torch.cuda.get_device_name(0),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "tf32": torch.backends.cuda.matmul.allow_tf32,
        }
    return facts
