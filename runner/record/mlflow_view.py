"""What MLflow is shown of a run: pure functions from journal and plan to metrics, params and tags.

Nothing here talks to a server. The same journal always gives the same points with the same
timestamps: a server that is sent them twice holds them once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from runner.record.journal import Event

# Limits of MLflow 3 (mlflow/utils/validation.py).
MAX_PARAM_CHARACTERS = 6000
MAX_TAG_CHARACTERS = 8000
MAX_KEY_CHARACTERS = 250
MAX_DIGEST_CHARACTERS = 36
POINTER = " … (cut: see the artifact plan.json)"

RUN_ID_TAG = "trainbox.run_id"  # the run is found again by it
STATUS = {
    "running": "RUNNING",
    "finished": "FINISHED",
    "failed": "FAILED",
    # ended before its last step, but nothing is wrong with it: `trainbox resume` goes on
    "stopped": "KILLED",
    "preempted": "KILLED",
    "limit": "KILLED",
    "interrupted": "KILLED",
    "damaged": "FAILED",  # its journal cannot be read
}
GROUP = {"step": "train", "eval": "eval", "checkpoint": "checkpoint", "system": "system"}
NOT_A_METRIC = {"event", "time", "attempt", "step", "sample"}
NOT_A_METRIC_OF = {"eval": {"num_samples", "supervised_tokens"}}  # the same at every step


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value of one metric."""

    key: str
    value: float
    step: int
    time_ms: int  # since 1970, from the journal


@dataclass(frozen=True, kw_only=True)
class DatasetView:
    """A data set as an input of the run: its name and digests, never its text."""

    name: str
    digest: str
    context: str  # training | evaluation
    source: str  # JSON
    profile: str  # JSON, counts alone


def points_of(events: Iterable[Event]) -> list[Point]:
    """Return the metrics in some lines of the journal, in order.

    NaN is sent as NaN and infinity as infinity (MLflow stores it as ±1.797e308): a diverged loss is
    a fact of the run.
    """
    return [point for event in events for point in _points(event)]


def _points(event: Event) -> Iterator[Point]:
    group = GROUP.get(event["event"])
    if group is None:
        return
    time_ms = int(event["time"] * 1000)
    step = int(event.get("sample" if group == "system" else "step", 0))
    skipped = NOT_A_METRIC | NOT_A_METRIC_OF.get(event["event"], set())
    for name, value in event.items():
        if name in skipped or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        yield Point(key=metric_key(f"{group}/{name}"), value=value, step=step, time_ms=time_ms)
        if group == "eval" and event.get("phase") in ("before", "after"):
            key = metric_key(f"eval/{name}_{event['phase']}")
            yield Point(key=key, value=value, step=step, time_ms=time_ms)


def metric_key(name: str) -> str:
    """Return a name that every MLflow server accepts."""
    return re.sub(r"[^\w/.\- ]", "_", name, flags=re.ASCII)[:MAX_KEY_CHARACTERS]


def attempt_tags(events: Iterable[Event]) -> dict[str, str]:
    """Return what differs from attempt to attempt: tags, because params cannot change."""
    tags: dict[str, str] = {}
    for event in events:
        for name, reason in event.get("unknown", {}).items():  # of a card, in system.jsonl
            tags[f"trainbox.unknown.{metric_key(name)}"] = str(reason)[:MAX_TAG_CHARACTERS]
        prefix = f"trainbox.attempt.{event.get('attempt', 1)}"
        kept = {
            "start": ("backend", "device"),
            "resume": ("checkpoint",),
            "end": ("status", "reason", "exit_code", "seconds"),
        }.get(event["event"], ())
        for name in kept:
            label = "resumed_from" if name == "checkpoint" else name
            if event.get(name) is not None:
                tags[f"{prefix}.{label}"] = str(event[name])[:MAX_TAG_CHARACTERS]
    return tags


def run_tags(plan: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return what tells runs apart in a list; `mlflow.*` are the columns of the MLflow pages."""
    code = manifest.get("code", {})
    tags = {
        RUN_ID_TAG: plan["run_id"],
        "trainbox.identity": plan["identity"],
        "trainbox.version": manifest.get("trainbox_version"),
        "trainbox.base_model": plan["model"]["public_name"],
        "trainbox.method": plan["job"]["method"],
        "trainbox.stage": plan["job"]["stage"],
        "mlflow.source.name": "trainbox train",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": code.get("commit"),
    }
    return {key: str(value)[:MAX_TAG_CHARACTERS] for key, value in tags.items() if value}


def params_of(plan: Mapping[str, Any]) -> dict[str, str]:
    """Return job and resolved training numbers as flat params, too long values cut."""
    shown = {
        **plan["job"],
        "base_model": {
            "public_name": plan["model"]["public_name"],
            "revision": plan["model"]["revision"],
            "model_type": plan["model"]["model_type"],
        },
        "resolved": plan["training"],
    }
    return {
        key[:MAX_KEY_CHARACTERS]: _cut(without_home(value), MAX_PARAM_CHARACTERS)
        for key, value in _flatten("", shown)
    }


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flatten(f"{prefix}.{metric_key(str(key))}" if prefix else str(key), inner)
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        for index, inner in enumerate(value):
            yield from _flatten(f"{prefix}.{index}", inner)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(value: str, limit: int) -> str:
    return value if len(value) <= limit else value[: limit - len(POINTER)] + POINTER


def datasets_of(plan: Mapping[str, Any]) -> list[DatasetView]:
    """Return the data sets of a run: names as the job gives them, counts, and digests."""
    data = plan["job"]["data"]
    views = [("training", "train", data["train"], plan["train_data"])]
    if plan["eval_data"]:
        views.append(("evaluation", "eval", data["eval"] or data["train"], plan["eval_data"]))
    return [
        DatasetView(
            name="+".join(PurePosixPath(source["path"]).name for source in sources)[:500],
            # the role keeps a held-out part of the same file apart from the rest of it
            digest=f"{role}-{split['source_sha256']}"[:MAX_DIGEST_CHARACTERS],
            context=context,
            source=json.dumps(
                {
                    "uri": without_home(sources[0]["path"]),
                    "sources": [without_home(source["path"]) for source in sources],
                    "source_sha256": split["source_sha256"],
                    "prepared_sha256": split["sha256"],
                }
            ),
            profile=json.dumps(
                {
                    name: split[name]
                    for name in ("num_samples", "num_tokens", "num_supervised_tokens", "longest")
                }
            ),
        )
        for context, role, sources, split in views
    ]


def without_home(text: str) -> str:
    """Return a text with the user's home folder written as `~`."""
    try:
        home = str(Path.home())
    except RuntimeError:  # a bare user id in a container has none
        return text
    return text.replace(home, "~") if len(home) > 1 else text


def without_credentials(text: str) -> str:
    """Return a text without the user name and password of any address in it."""
    return re.sub(r"://[^/@\s]+@", "://", text)
