"""The names of all files in a run directory, and where the directories stand."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from runner.errors import BackendError

SCHEMA_VERSION = 1  # of plan.json, manifest.json and journal.jsonl


def runs_root() -> Path:
    """Return the folder that holds all runs: $TRAINBOX_RUNS, or `runs` below the working one."""
    return Path(os.environ.get("TRAINBOX_RUNS", "runs")).absolute()


def cache_root() -> Path:
    """Return trainbox's own cache: $TRAINBOX_CACHE, or `trainbox` in the user's cache folder."""
    if explicit := os.environ.get("TRAINBOX_CACHE"):
        return Path(explicit).absolute()
    return user_cache().absolute() / "trainbox"


def user_cache() -> Path:
    """Return the user's cache folder: $XDG_CACHE_HOME, or `.cache` in the home folder.

    Raises:
        BackendError: neither is known, as for a bare user id in a container.
    """
    if explicit := os.environ.get("XDG_CACHE_HOME"):
        return Path(explicit)
    try:
        return Path.home() / ".cache"
    except RuntimeError as error:
        raise BackendError(
            id="cache-no-home",
            what=f"user {os.getuid()} has no home folder",
            why="models and prepared data are kept below it",
            fix="set HOME, or TRAINBOX_CACHE and HF_HOME, to a folder you can write",
        ) from error


def new_run_id(name: str) -> str:
    """Return `<name>-<UTC time>-<4 hex digits>`, unique and sortable within a name."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return f"{name}-{stamp}-{secrets.token_hex(2)}"


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder; 0 where it is not there."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class RunDir:
    """A run directory; every path in it has its one name here."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def job(self) -> Path:
        """The job file as given, byte for byte."""
        return self.path / "job.yaml"

    @property
    def plan(self) -> Path:
        """Everything resolved: the hand-over to the training process."""
        return self.path / "plan.json"

    @property
    def manifest(self) -> Path:
        """What ran: versions, hashes, seeds, machine."""
        return self.path / "manifest.json"

    @property
    def journal(self) -> Path:
        """Events and metrics, append-only, one JSON object a line: the truth about the run."""
        return self.path / "journal.jsonl"

    @property
    def log(self) -> Path:
        """Standard error of the training process, all attempts."""
        return self.path / "log.txt"

    @property
    def failure(self) -> Path:
        """The fault that ended the newest attempt, as `TrainboxError.to_dict()`."""
        return self.path / "failure.json"

    @property
    def rehearsal(self) -> Path:
        """What the rehearsal before the run measured; absent where there was none."""
        return self.path / "rehearsal.json"

    @property
    def supervisor(self) -> Path:
        """Process ids and backend of the newest attempt."""
        return self.path / "supervisor.json"

    @property
    def lock(self) -> Path:
        """Held (flock) by the supervisor, after its death by the training process."""
        return self.path / ".lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held (flock) by the supervisor alone; where it is free, nobody watches the run."""
        return self.path / ".supervisor.lock"

    @property
    def heartbeat(self) -> Path:
        """Empty; its time stamp is the training process's newest sign of life."""
        return self.path / ".heartbeat"

    @property
    def tracking(self) -> Path:
        """How far the tracker has followed the journal."""
        return self.path / "tracking.json"

    @property
    def tracking_lock(self) -> Path:
        """Held (flock) by the one process that sends this run to MLflow."""
        return self.path / ".tracking.lock"

    @property
    def system(self) -> Path:
        """Samples of processor, memory, disk and card during training, in the journal's form."""
        return self.path / "system.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def staging(self) -> Path:
        """Where a checkpoint is written before it is sealed; emptied at every start."""
        return self.checkpoints / ".staging"

    @property
    def adapter(self) -> Path:
        """The result of methods qlora and lora; loads with plain peft."""
        return self.path / "adapter"

    @property
    def model(self) -> Path:
        """The result of method full; loads with plain transformers."""
        return self.path / "model"

    @property
    def samples(self) -> Path:
        """Answers before and after; written only with `tracking.samples: files`."""
        return self.path / "samples.jsonl"
