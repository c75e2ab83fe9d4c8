"""When a checkpoint is due, how it is sealed, and from which one a run goes on."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True, kw_only=True)
class Sealing:
    """A checkpoint that is written and is being made durable beside the training."""

    step: int
    reason: str
    started: float
    waited_seconds: float  # how long training stood still for it
    done: Future[checkpoint.Sealed]


class Saver:
    """Decides when to save, and saves so that a failure costs no more than the checkpoint.

    The trainer's files are written while training waits; to hash and flush them, which takes
    longer, is left to a thread, one checkpoint at a time. Until then the one before it counts.
    """

    def __init__(self, attempt: Attempt, resumed: Path | None) -> None:
        self._attempt = attempt
        self._previous: dict[str, str] | None = None
        self._last_bytes = 0
        self._last_time = time.monotonic()
        self._num_failed = 0
        self._reason = ""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="seal")
        # A third of the time of torch.save; the seal's SHA-256 finds more, and nothing reads it.
        torch.serialization.set_crc32_options(False)
        self._sealing: Sealing | None = None
        if resumed is not None:
            manifest = checkpoint.read_manifest(resumed)
            self._previous = {"checkpoint": resumed.name, "sha256": manifest["sha256"]}
            self._last_bytes = sum(entry["bytes"] for entry in manifest["files"].values())

    def is_due(self, step: int) -> bool:
        """Tell whether the step that just ended is saved, and remember why."""
        if self._sealing is not None and self._sealing.done.done():
            self.settle()
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
        """Write a checkpoint aside and have it sealed.

        Args:
            write: writes the trainer's files into the staging folder.

        Raises:
            TrainingError: the weights are not finite.
            CheckpointError: nothing could be saved three times in a row.
        """
        self.settle()
        check_finite(model, step)
        started = time.monotonic()
        try:
            self._check_room()
            write()
            seal = self._sealer(model, step)
        except Exception as error:  # a full disk shows as OSError, RuntimeError, SafetensorError …
            self._failed(error, step)
            return
        finally:
            self._last_time = time.monotonic()
        self._sealing = Sealing(
            step=step,
            reason=self._reason,
            started=started,
            waited_seconds=self._last_time - started,
            done=self._thread.submit(seal),
        )

    def settle(self) -> None:
        """Wait for the checkpoint that is being sealed, and record it.

        A failure is a warning, the third in a row an end.

        Raises:
            CheckpointError: nothing could be saved three times in a row.
        """
        sealing, self._sealing = self._sealing, None
        if sealing is None:
            return
        try:
            sealed = sealing.done.result()
        except Exception as error:  # as above, or what a disk refuses to rename and delete
            self._failed(error, sealing.step)
            return
        shutil.rmtree(self._attempt.run.staging, ignore_errors=True)
        self._num_failed = 0
        self._previous = {"checkpoint": sealed.path.name, "sha256": sealed.sha256}
        self._last_bytes = sealed.bytes
        self._attempt.journal.write(
            "checkpoint",
            step=sealing.step,
            checkpoint=sealed.path.name,
            bytes=sealed.bytes,
            seconds=sealing.waited_seconds + sealed.seconds,
            waited_seconds=sealing.waited_seconds,
            reason=sealing.reason,
        )

    def _check_room(self) -> None:
        free, needed = shutil.disk_usage(self._attempt.run.checkpoints).free, 2 * self._last_bytes
        if free < needed:
            raise OSError(errno.ENOSPC, f"{free} bytes free, {needed} needed for two checkpoints")

    def _sealer(self, model: torch.nn.Module, step: int) -> Callable[[], checkpoint.Sealed]:
        """Return what is left to do for a written checkpoint; it needs the model no more."""
        attempt = self._attempt
        checkpoints, keep = attempt.run.checkpoints, attempt.job["checkpoint"]["keep"]
        staging = attempt.run.staging / f"checkpoint-{step}"  # the trainer's own name for it
        facts = {
            "run_id": attempt.plan.run_id,
            "step": step,
            "attempt": attempt.journal.attempt,
            "identity": attempt.plan.identity,
            "dtypes": dtypes_of(model),
            "previous": self._previous,
            "machine": _machine(),
        }
        required = _required(attempt.plan)
        for name in DROPPED_FILES:
            (staging / name).unlink(missing_ok=True)

        def seal() -> checkpoint.Sealed:
            target = checkpoint.checkpoint_path(checkpoints, step)
            sealed = checkpoint.seal(staging, target, facts=facts, required=required)
            checkpoint.prune(checkpoints, keep)
            return sealed

        return seal

    def _failed(self, error: Exception, step: int) -> None:
        shutil.rmtree(self._attempt.run.staging, ignore_errors=True)
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
