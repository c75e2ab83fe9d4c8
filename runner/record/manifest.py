"""The manifest: what ran. Everything another person needs to run it again and compare.

Building is pure (`build_manifest`); `runner.record.surroundings` reads code and machine. The top
level describes the newest attempt; an earlier one that ran in other surroundings keeps them under
`attempts[…].surroundings`. The format stands in docs/tracking.md.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runner import __version__
from runner.plan import Plan, PreparedSplit, read_plan
from runner.record.journal import Event, read_events
from runner.record.layout import SCHEMA_VERSION, RunDir
from runner.record.state import read_state
from runner.record.surroundings import gather_surroundings

Manifest = dict[str, Any]

SURROUNDINGS = ("code", "lock", "image", "versions", "environment", "machine")
HASH_PIECE_BYTES = 2**20


def surroundings(backend: str, inside: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what an attempt that starts now runs in.

    Args:
        inside: sections in which the place of training differs from this host.
    """
    return {**gather_surroundings(), **(inside or {}), "backend": backend}


def open_manifest(run: RunDir, plan: Plan, now: Mapping[str, Any]) -> None:
    """Write the manifest of an attempt that is about to start.

    Args:
        now: of `surroundings`.
    """
    write_manifest(run, _manifest_now(run, plan, now))


def close_manifest(run: RunDir, status: str) -> None:
    """Write the manifest again with the ends of the attempts and the hashes of the results.

    On a full disk the one before it stays, which the journal completes.
    """
    try:
        _close_manifest(run, status)
    except OSError as error:
        print(f"manifest.json could not be completed: {error}", file=sys.stderr, flush=True)


def _close_manifest(run: RunDir, status: str) -> None:
    before = read_manifest(run) or gather_surroundings()
    now = {name: before.get(name) for name in (*SURROUNDINGS, "backend")}
    manifest = _manifest_now(run, read_plan(run.plan), now)
    manifest["status"] = status
    manifest["results"] = results_of(run)
    write_manifest(run, manifest)


def read_manifest(run: RunDir) -> Manifest | None:
    """Read the manifest back; one that is absent or unreadable is None."""
    try:
        manifest: Manifest = json.loads(run.manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if manifest.get("schema_version") == SCHEMA_VERSION else None


def write_manifest(run: RunDir, manifest: Manifest) -> None:
    """Write the manifest, whole or not at all."""
    aside = run.manifest.with_suffix(".tmp")
    aside.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    aside.replace(run.manifest)


def build_manifest(
    plan: Plan,
    *,
    surroundings: Mapping[str, Any],
    job_sha256: str,
    attempts: Sequence[Mapping[str, Any]],
) -> Manifest:
    """Assemble a manifest from facts alone.

    Args:
        surroundings: the sections of `gather_surroundings`, and `backend`.
        job_sha256: over the bytes of the job file as given.
        attempts: of `attempts_of`.
    """
    train = plan.job["train"]
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": plan.run_id,
        "trainbox_version": __version__,
        "status": "running",
        "job": {
            "name": plan.job["name"],
            "sha256": job_sha256,
            "overrides": list(plan.overrides),
            "identity": plan.identity,
        },
        "model": {
            "public_name": plan.model.public_name,
            "revision": plan.model.revision,
            "model_type": plan.model.model_type,
            "files": dict(plan.model.files),
        },
        "data": {
            "train": _split(plan.train_data),
            "eval": _split(plan.eval_data) if plan.eval_data else None,
        },
        "determinism": {
            "seed": train["seed"],
            "deterministic": train["deterministic"],
            "num_threads": plan.training.num_threads,
            "num_workers": plan.training.num_workers,
        },
        "training": asdict(plan.training),
        **{name: surroundings.get(name) for name in ("backend", *SURROUNDINGS)},
        "attempts": [dict(attempt) for attempt in attempts],
        "results": None,
    }


def attempts_of(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return the attempts in a journal: when, where, from which checkpoint, and how they ended."""
    attempts: dict[int, dict[str, Any]] = {}
    for event in events:
        if event["event"] == "start":
            attempts[event["attempt"]] = {
                "attempt": event["attempt"],
                "backend": event.get("backend"),
                "device": event.get("device"),
                "started": event["time"],
                "resumed_from": None,
                "ended": None,
                "status": None,  # the supervisor died before it could write the end
            }
        elif event["event"] == "resume" and event["attempt"] in attempts:
            attempts[event["attempt"]]["resumed_from"] = event.get("checkpoint")
        elif event["event"] == "end" and event["attempt"] in attempts:
            attempts[event["attempt"]] |= {
                "ended": event["time"],
                "status": event["status"],
                "reason": event.get("reason"),
                "exit_code": event.get("exit_code"),
            }
    return [attempts[number] for number in sorted(attempts)]


def keep_surroundings(
    attempts: Sequence[dict[str, Any]], before: Manifest | None, now: Mapping[str, Any]
) -> None:
    """Give earlier attempts the surroundings that were theirs and are no longer the manifest's.

    Args:
        attempts: of `attempts_of`; changed in place.
        before: the manifest as the attempt before left it.
        now: the surroundings of the newest attempt.
    """
    if before is None:
        return
    changed = {name: before[name] for name in SURROUNDINGS if before.get(name) != now.get(name)}
    kept = {entry["attempt"]: entry.get("surroundings", {}) for entry in before["attempts"]}
    for attempt in attempts:
        if surroundings := {**changed, **kept.get(attempt["attempt"], {})}:
            attempt["surroundings"] = surroundings


def results_of(run: RunDir) -> dict[str, Any]:
    """Return losses and the SHA-256 of every file of the adapter or model."""
    state = read_state(run)
    return {
        "steps": state.step,
        "tokens": state.tokens,
        "training_loss": _number(state.loss),
        "loss_before": _number(state.loss_before),
        "loss_after": _number(state.loss_after),
        "peak_memory_bytes": state.peak_memory_bytes,
        "peak_reserved_bytes": state.peak_reserved_bytes,
        "files": {
            str(path.relative_to(run.path)): file_sha256(path)
            for folder in (run.adapter, run.model)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(HASH_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _number(value: float | None) -> float | str | None:
    """Return a number that every JSON parser reads: NaN and infinity become their names."""
    return value if value is None or math.isfinite(value) else str(value)


def _manifest_now(run: RunDir, plan: Plan, now: Mapping[str, Any]) -> Manifest:
    attempts = attempts_of(read_events(run.journal))
    keep_surroundings(attempts, read_manifest(run), now)
    return build_manifest(
        plan, surroundings=now, job_sha256=file_sha256(run.job), attempts=attempts
    )


def _split(split: PreparedSplit) -> dict[str, Any]:
    facts = asdict(split)
    del facts["path"]  # of this machine's cache
    return facts
