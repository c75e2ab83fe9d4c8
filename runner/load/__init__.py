"""A job file → a checked Job: every fault with its line, all of them at once, without torch.

text.py          bytes → text
document.py      text → plain data and the line of every key (YAML 1.2)
overrides.py     `--set key=value`
validate.py      data → Job, or all faults; with faults.py (one key), conflicts.py (several
                 keys), files.py (what the job names), credentials.py (tokens)
expected.py      what a key accepts, in words; names.py: what a misspelt key meant
against_model.py the job against the configuration of its base model
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.errors import Faults, JobError, TrainboxError, Where
from runner.load.against_model import check_against_model, check_lora_targets
from runner.load.credentials import lines_with_tokens, token_kind, without_tokens
from runner.load.document import Document, KeyPath, Place, parse
from runner.load.overrides import apply, key_path
from runner.load.text import decode, read_job_file
from runner.load.validate import validate
from runner.spec import Job

__all__ = ["LoadedJob", "check_against_model", "check_lora_targets", "load_job"]


@dataclass(frozen=True)
class LoadedJob:
    """A valid job, the bytes it came from, and where each key stands in them."""

    job: Job
    text: bytes
    path: Path
    overrides: tuple[str, ...] = ()
    places: Mapping[KeyPath, Place] = field(default_factory=dict, repr=False)

    def where(self, key: str) -> Where:
        """Return the place of a key such as `data.train[0].path`, or of the section around it."""
        where = Document(None, dict(self.places)).where(key_path(key))
        return where if isinstance(where, Where) else Where(file=where or self.path)


def load_job(path: Path, overrides: Sequence[str] = ()) -> LoadedJob:
    """Read, override and check a job file.

    Raises:
        JobError: the one fault there is.
        Faults: several, in the order of the file.
    """
    content = read_job_file(path)
    text = decode(content, path)
    faults: list[TrainboxError] = _tokens(text, path, overrides)
    job = None
    try:
        document = parse(text, Where(file=path))
        _override(document, overrides)
        job, found = validate(document)
        faults += found
    except Faults as error:
        faults += error.faults
    except JobError as error:
        faults.append(error)
    if faults:
        raise _together(faults)
    assert job is not None, "no job and no fault"
    return LoadedJob(_settled(job), content, path, tuple(overrides), document.places)


def _override(document: Document, overrides: Sequence[str]) -> None:
    if not isinstance(document.data, dict):
        return  # not a job at all: `validate` says so
    faults: list[TrainboxError] = []
    for override in overrides:
        try:
            apply(document, override)
        except Faults as error:
            faults += error.faults
        except JobError as error:
            faults.append(error)
    if faults:
        raise Faults(faults)


def _tokens(text: str, path: Path, overrides: Sequence[str]) -> list[TrainboxError]:
    found: list[tuple[Where | str, str]] = [
        (Where(file=path, line=line), kind) for line, kind in lines_with_tokens(text)
    ]
    found += [
        (f"--set {without_tokens(override.partition('=')[0])}=…", kind)
        for override in overrides
        if (kind := token_kind(override))
    ]
    return [
        JobError(
            id="job-secret",
            what=f"this line holds {kind} (not shown)",
            where=where,
            why="the job file is copied into every run directory",
            fix="remove it, put it into an environment variable named in `secrets`, and revoke it",
        )
        for where, kind in found
    ]


def _settled(job: Job) -> Job:
    """Return the job with the effective batch size that its two explicit factors make."""
    train = job.train
    micro, accumulation = train.per_device_train_batch_size, train.gradient_accumulation_steps
    if micro == "auto" or accumulation == "auto":
        return job
    settled = train.model_copy(update={"effective_batch_size": micro * accumulation})
    return job.model_copy(update={"train": settled})


def _together(faults: list[TrainboxError]) -> TrainboxError:
    """Return one fault as itself, several in the order of their lines; a secret once a line."""
    unique: dict[object, TrainboxError] = {}
    for fault in faults:
        is_secret = fault.id == "job-secret" and _line(fault) > 0
        unique.setdefault(("secret", str(fault.where)) if is_secret else fault.render(), fault)
    ordered = sorted((_without_tokens(fault) for fault in unique.values()), key=_line)
    return ordered[0] if len(ordered) == 1 else Faults(ordered)


def _without_tokens(fault: TrainboxError) -> TrainboxError:
    """Return the fault with no token in any part: the last net, for paths and nearest names."""
    if token_kind(fault.render()) is None:
        return fault
    return JobError(
        id=fault.id,
        what=without_tokens(fault.what),
        where=fault.where if isinstance(fault.where, Where) else without_tokens(str(fault.where)),
        why=fault.why,
        fix=without_tokens(fault.fix),
    )


def _line(fault: TrainboxError) -> int:
    where = fault.where
    return where.line or 0 if isinstance(where, Where) else 1_000_000
