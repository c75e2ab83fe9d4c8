"""Brings the record of one run to one MLflow server, as far as the server takes it.

The journal is the truth; how far MLflow has followed it stands in tracking.json and is moved only
after the server took a piece. Whatever goes wrong is caught, recorded there and tried again later.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from runner.errors import TrainboxError
from runner.record import mlflow_view as view
from runner.record.journal import Event, read_from
from runner.record.layout import SCHEMA_VERSION, RunDir
from runner.record.mlflow_run import MlflowRun, open_run, upload_seconds

PIECE_BYTES = 64 * 1024  # of the journal: about 250 steps, 2000 points
MAX_ERROR_CHARACTERS = 500


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a run is sent."""

    uri: str
    experiment: str
    artifacts: str  # none | record | adapter
    store: str  # same store, same offsets: the address, or `local` for trainbox's own server


@dataclass(frozen=True, kw_only=True)
class TrackingState:
    """What tracking.json holds."""

    schema_version: int = SCHEMA_VERSION
    store: str = ""
    mlflow_run_id: str | None = None
    url: str | None = None
    journal_offset: int = 0  # bytes of journal.jsonl that the server has taken
    system_offset: int = 0  # bytes of system.jsonl
    num_points: int = 0  # sent since this store is followed
    status: str | None = None  # as MLflow has it
    artifacts: dict[str, str] = field(default_factory=dict)  # name → size and time when uploaded
    is_complete: bool = False  # the server has everything, up to the end of the newest attempt
    started_server: bool = False  # the follower started the local server
    num_errors: int = 0
    last_error: dict[str, Any] | None = None  # time, doing, error
    expects_seconds: int = 0  # how long what is being done now may take


def read_tracking(run: RunDir) -> TrackingState:
    """Read tracking.json; one that is absent, torn or of another version starts anew."""
    try:
        raw = json.loads(run.tracking.read_text(encoding="utf-8"))
        if raw["schema_version"] == SCHEMA_VERSION:
            return TrackingState(**raw)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return TrackingState()


def write_tracking(run: RunDir, state: TrackingState) -> None:
    """Write tracking.json, whole or not at all."""
    aside = run.tracking.with_suffix(".tmp")
    try:
        aside.write_text(json.dumps(asdict(state), indent=1) + "\n", encoding="utf-8")
        aside.replace(run.tracking)
    except OSError:  # disk full: sending goes on, and is repeated after a kill
        aside.unlink(missing_ok=True)


class Delivery:
    """The sending of one run; `deliver` may be called as often as one likes.

    Args:
        target: asked for at every connection, because a restarted server may stand elsewhere.
    """

    def __init__(self, run: RunDir, target: Callable[[], Target]) -> None:
        self.run_dir = run
        self.state = read_tracking(run)
        self.num_sent = 0  # points, by this object
        self._target = target
        self._artifacts = "none"
        self._mlflow: MlflowRun | None = None
        self._is_described = False

    def deliver(self) -> bool:
        """Send what is new; return whether the server has everything the journal holds now."""
        if not self.guarded("connect", self._connect):
            return False
        described = self._is_described or self.guarded("describe the run", self._describe)
        if not self.guarded("send metrics", self._send_journal):
            self._mlflow = None  # look again for the server, which may come back elsewhere
            return False
        return described

    def close(self, status: str) -> bool:
        """Send the rest, the final status and the artifacts; return whether all has arrived.

        Args:
            status: of the run, in the journal's words.
        """
        is_delivered = self.deliver()
        # a server that is gone is not asked three times, but a refused param hides no status
        is_closed = (
            self._mlflow is not None
            and self.guarded("set the status", lambda: self._set_status(status))
            and self.guarded("upload artifacts", self._upload_results)
        )
        self._save(is_complete=is_delivered and is_closed, expects_seconds=0)
        return self.state.is_complete

    def forget(self) -> None:
        """Send everything again from the beginning; what the server has is not doubled."""
        self._save(journal_offset=0, system_offset=0, artifacts={}, num_points=0)

    def note(self, **changes: Any) -> None:
        """Put facts about the sending itself into tracking.json."""
        self._save(**changes)

    def guarded(self, doing: str, action: Callable[[], None]) -> bool:
        """Do something; return whether it went well, and record what went wrong."""
        try:
            action()
        except Exception as error:  # the tracker is a rim that must survive anything
            self.note_error(doing, error)
            return False
        return True

    def note_error(self, doing: str, error: BaseException) -> None:
        """Record an error that was survived."""
        what = error.what if isinstance(error, TrainboxError) else str(error)
        text = view.without_home(view.without_credentials(f"{type(error).__name__}: {what}"))
        self._save(
            num_errors=self.state.num_errors + 1,
            expects_seconds=0,
            last_error={
                "time": time.time(),
                "doing": doing,
                "error": text[:MAX_ERROR_CHARACTERS],
                "at": _innermost(error),
            },
        )

    def _connect(self) -> None:
        if self._mlflow is not None:
            return
        target = self._target()
        store = view.without_credentials(target.store)
        if store != self.state.store:
            self.state = replace(
                TrackingState(store=store),
                started_server=self.state.started_server,
                num_errors=self.state.num_errors,
                last_error=self.state.last_error,
            )
        self._artifacts = target.artifacts
        known_id = self.state.mlflow_run_id
        found = open_run(
            uri=target.uri,
            experiment=target.experiment,
            known_id=known_id,
            run_id=self.run_dir.run_id,
            start_time_ms=self._start_time_ms(),
            tags={view.RUN_ID_TAG: self.run_dir.run_id},
        )
        if found.id != known_id:
            self.forget()
        self._mlflow = found
        url = view.without_credentials(found.url)
        self._save(mlflow_run_id=found.id, url=url, status=found.status, is_complete=False)

    @property
    def _connected(self) -> MlflowRun:
        assert self._mlflow is not None, "connect first"
        return self._mlflow

    def _start_time_ms(self) -> int:
        events, _ = read_from(self.run_dir.journal, max_bytes=PIECE_BYTES)
        starts = [event["time"] for event in events if event["event"] == "start"]
        return int((starts[0] if starts else time.time()) * 1000)

    def _describe(self) -> None:
        plan = _read_json(self.run_dir.plan)
        self._connected.log_params(view.params_of(plan))
        self._connected.log([], view.run_tags(plan, _read_json(self.run_dir.manifest)))
        self._connected.log_datasets(view.datasets_of(plan))
        if self._artifacts != "none":
            self._upload_record()
        self._is_described = True

    def _send_journal(self) -> None:
        while self._send_piece(self.run_dir.journal, "journal_offset"):
            pass
        while self._send_piece(self.run_dir.system, "system_offset"):
            pass

    def _send_piece(self, path: Path, offset_name: str) -> bool:
        offset = getattr(self.state, offset_name)
        events, next_offset = read_from(path, offset, max_bytes=PIECE_BYTES)
        if next_offset == offset:
            return False
        if any(event["event"] == "start" for event in events) and self.state.status != "RUNNING":
            self._set_status("running")
        points = view.points_of(events)
        self._connected.log(points, view.attempt_tags(events))
        self.num_sent += len(points)
        self._save(**{offset_name: next_offset}, num_points=self.state.num_points + len(points))
        return True

    def _set_status(self, status: str) -> None:
        mlflow_status = view.STATUS[status]
        end_time_ms = None if mlflow_status == "RUNNING" else self._end_time_ms()
        self._connected.set_status(mlflow_status, end_time_ms)
        self._save(status=mlflow_status)

    def _end_time_ms(self) -> int:
        last = last_event(self.run_dir.journal)
        return int((last["time"] if last else time.time()) * 1000)

    def _upload_record(self) -> None:
        self._upload(self.run_dir.job)
        for path in (self.run_dir.plan, self.run_dir.manifest):
            self._upload(path, hide_home=True)

    def _upload_results(self) -> None:
        if self._artifacts != "none":
            self._upload_record()
            self._upload(self.run_dir.journal)
        if self._artifacts == "adapter" and self.run_dir.adapter.is_dir():
            for path in sorted(self.run_dir.adapter.rglob("*")):
                if path.is_file():
                    self._upload(path)

    def _upload(self, path: Path, *, hide_home: bool = False) -> None:
        """Upload a file of the run unless it is there as it is now."""
        if not path.exists():
            return
        name = str(path.relative_to(self.run_dir.path))
        stat = path.stat()
        version = f"{stat.st_size} bytes, {stat.st_mtime_ns}"
        if self.state.artifacts.get(name) == version:
            return
        self._save(expects_seconds=upload_seconds(path))
        folder = str(Path(name).parent)
        with _copy_without_home(path) if hide_home else _itself(path) as file:
            self._connected.upload(file, None if folder == "." else folder)
        self._save(artifacts=self.state.artifacts | {name: version}, expects_seconds=0)

    def _save(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        write_tracking(self.run_dir, self.state)


def is_complete(run: RunDir) -> bool:
    """Return whether MLflow has all of the journal as it is now, and its end."""
    state = read_tracking(run)
    size = run.journal.stat().st_size if run.journal.exists() else 0
    return state.is_complete and state.journal_offset == size


def last_event(journal: Path) -> Event | None:
    """Return the newest line of a journal."""
    try:
        with journal.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - PIECE_BYTES))
            lines = file.read().split(b"\n")[:-1]  # what follows the last newline is torn
        event: Event | None = json.loads(lines[-1]) if lines else None
    except (OSError, ValueError):
        return None
    return event


@contextmanager
def only_sender(run: RunDir, *, wait_seconds: float) -> Iterator[bool]:
    """Hold the right to send this run; yields False where another process keeps it."""
    with run.tracking_lock.open("a") as file:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    yield False
                    return
                time.sleep(0.2)
        yield True


@contextmanager
def _itself(path: Path) -> Iterator[Path]:
    yield path


@contextmanager
def _copy_without_home(path: Path) -> Iterator[Path]:
    """Yield a copy in which the user's home folder is written `~`: paths stay on the machine."""
    with tempfile.TemporaryDirectory(prefix="trainbox-") as folder:
        copy = Path(folder) / path.name
        copy.write_text(view.without_home(path.read_text(encoding="utf-8")), encoding="utf-8")
        yield copy


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return raw


def _innermost(error: BaseException) -> str | None:
    """Return `file:line` where the error was raised, without folders."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else None
