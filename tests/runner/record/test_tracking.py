"""MLflow follows the journal: everything once, whatever dies in between, and nobody waits for it.

The server is a real one; what it holds is read from its database.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from runner.execute import TRACKING_FINISH_SECONDS
from runner.plan import Plan
from runner.record.delivery import only_sender, read_tracking
from runner.record.journal import Journal, read_events
from runner.record.layout import RunDir, new_run_id
from runner.record.mlflow_run import set_environment
from runner.record.mlflow_view import points_of
from runner.record.state import Lock
from runner.record.tracking import Follower, start_follower, sync, target_of
from runner.tracking_server import server as tracking_server
from runner.tracking_server.place import place
from tests.runner.plans import split, tiny_job, tiny_plan

TOKEN = "hf_plantedTokenThatNobodyMaySee"
SENTENCE = "the planted sentence of a training row"


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for runs with a running MLflow server below it."""
    folder = tmp_path_factory.mktemp("runs")
    tracking_server.up(folder)
    yield folder
    tracking_server.down(folder)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The variables that the sending process sets for itself, taken back afterwards."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = dict(os.environ)
    set_environment()
    yield
    os.environ.clear()
    os.environ.update(before)


def new_run(runs: Path, uri: str = "auto") -> tuple[RunDir, Plan]:
    """Create a run directory as `trainbox train` does."""
    job = tiny_job(tracking={"mlflow": {"uri": uri}})
    run = RunDir(runs / new_run_id("tiny"))
    run.path.mkdir(parents=True)
    plan = dataclasses.replace(tiny_plan(job, eval_data=split(4)), run_id=run.run_id)
    plan.write(run.plan)
    run.job.write_text("version: 1\n", encoding="utf-8")
    return run, plan


def write_steps(run: RunDir, steps: range, attempt: int = 1, end: str | None = None) -> None:
    """Append what a supervisor and a training process would."""
    with Journal(run.journal, attempt) as journal:
        if steps.start == 1:
            journal.write("start", run_id=run.run_id, backend="host", device="cpu", num_steps=9)
        for step in steps:
            journal.write("step", step=step, loss=3.0 / step, grad_norm=1.0, learning_rate=1e-4)
        if end is not None:
            journal.write("end", status=end, reason="why", exit_code=0, seconds=1.0)


def query(runs: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Ask the server's database."""
    database = place(runs).database
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return connection.execute(sql, values).fetchall()


def mlflow_runs(runs: Path, run: RunDir) -> list[tuple[str, str]]:
    """Return id and status of what MLflow holds under our run id."""
    return query(
        runs,
        "select r.run_uuid, r.status from runs r join tags t on t.run_uuid = r.run_uuid"
        " where t.key = 'trainbox.run_id' and t.value = ?",
        run.run_id,
    )


def stored_points(runs: Path, run: RunDir) -> list[tuple[Any, ...]]:
    """Return (name, step, time, value) of every row that MLflow holds, duplicates included."""
    ((mlflow_id, _status),) = mlflow_runs(runs, run)
    return sorted(
        query(
            runs,
            "select key, step, timestamp, value from metrics where run_uuid = ?"
            " and key not like 'system/%'",
            mlflow_id,
        )
    )


def system_points(runs: Path, mlflow_id: str) -> list[tuple[Any, ...]]:
    """Return every row of the machine's metrics, duplicates included."""
    sql = "select key, step from metrics where run_uuid = ? and key like 'system/%'"
    return query(runs, sql, mlflow_id)


def expected_points(run: RunDir) -> list[tuple[Any, ...]]:
    points = points_of(read_events(run.journal))
    return sorted((point.key, point.step, point.time_ms, point.value) for point in points)


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def offset_of(run: RunDir) -> int:
    """Return how far the follower says it has come."""
    try:
        return int(json.loads(run.tracking.read_text(encoding="utf-8"))["journal_offset"])
    except (OSError, ValueError):
        return 0


def sync_local(runs: Path, run: RunDir, *, again: bool = False) -> str:
    """Sync with the server of the fixture and return how it ended."""
    server = tracking_server.status(runs)
    assert server is not None
    plan = json.loads(run.plan.read_text(encoding="utf-8"))
    target = target_of(plan, server.url, server.kind)
    return sync(run, target, again=again).status


def kill(follower: Follower) -> None:
    assert follower._process is not None
    follower._process.kill()
    follower._process.wait()
    assert follower._process.stdin is not None
    follower._process.stdin.close()


def test_a_run_arrives_whole_and_once(runs: Path) -> None:
    """Metrics of run and machine, status, params, data sets, artifacts; again adds nothing."""
    run, plan = new_run(runs)
    follower = start_follower(run, plan)
    write_steps(run, range(1, 6))
    wait_for(lambda: read_events(run.system))
    run.adapter.mkdir()
    (run.adapter / "adapter_model.safetensors").write_bytes(bytes(100_000))
    write_steps(run, range(6, 9), end="finished")
    tracked = follower.finish(120)
    assert tracked.status == "complete", tracked
    assert tracked.url is not None and tracked.url in tracked.text
    assert stored_points(runs, run) == expected_points(run)

    ((mlflow_id, status),) = mlflow_runs(runs, run)
    events = read_events(run.journal)
    ((start, end),) = query(
        runs, "select start_time, end_time from runs where run_uuid = ?", mlflow_id
    )
    assert (status, start, end) == (
        "FINISHED", int(events[0]["time"] * 1000), int(events[-1]["time"] * 1000),
    )  # fmt: skip
    params = dict(query(runs, "select key, value from params where run_uuid = ?", mlflow_id))
    assert params["train.learning_rate"] == "0.0002"
    assert len(query(runs, "select 1 from inputs where destination_id = ?", mlflow_id)) == 2
    assert len(system_points(runs, mlflow_id)) == len(points_of(read_events(run.system))) >= 4
    artifacts = next(place(runs).artifacts.glob(f"*/{mlflow_id}/artifacts"))
    uploaded = {str(path.relative_to(artifacts)) for path in artifacts.rglob("*.*")}
    assert uploaded == {
        "job.yaml", "plan.json", "journal.jsonl", "adapter/adapter_model.safetensors",
    }  # fmt: skip

    assert sync_local(runs, run, again=True) == "complete"
    assert stored_points(runs, run) == expected_points(run)
    assert len(system_points(runs, mlflow_id)) == len(points_of(read_events(run.system)))
    assert mlflow_runs(runs, run) == [(mlflow_id, "FINISHED")]
    assert len(query(runs, "select 1 from inputs where destination_id = ?", mlflow_id)) == 2


def test_nothing_happens_before_the_first_step(runs: Path) -> None:
    """The follower leaves the processors to the start of training."""
    run, plan = new_run(runs)
    follower = start_follower(run, plan)
    with Journal(run.journal, 1) as journal:
        journal.write("start", run_id=run.run_id)
    before = run.tracking.read_bytes()
    time.sleep(1.5)
    assert run.tracking.read_bytes() == before
    kill(follower)


def test_a_follower_killed_between_batches_loses_and_doubles_nothing(runs: Path) -> None:
    """kill -9 of the follower, then `sync`: every point once, and a true status."""
    run, plan = new_run(runs)
    follower = start_follower(run, plan)
    write_steps(run, range(1, 400))
    wait_for(lambda: offset_of(run) > 0)
    kill(follower)
    write_steps(run, range(400, 500), end="finished")
    assert sync_local(runs, run) == "complete"
    assert stored_points(runs, run) == expected_points(run)
    assert [status for _, status in mlflow_runs(runs, run)] == ["FINISHED"]


def test_a_run_created_but_not_recorded_is_found_again(runs: Path) -> None:
    """Killed between creating the run and writing tracking.json: there is still one run."""
    run, _ = new_run(runs)
    write_steps(run, range(1, 4), end="finished")
    assert sync_local(runs, run) == "complete"
    run.tracking.unlink()
    assert sync_local(runs, run) == "complete"
    assert len(mlflow_runs(runs, run)) == 1
    assert stored_points(runs, run) == expected_points(run)


def test_a_server_that_dies_and_comes_back_gets_everything_once(runs: Path) -> None:
    """Killed in the middle: no point is missing afterwards, none is double."""
    run, plan = new_run(runs)
    follower = start_follower(run, plan)
    write_steps(run, range(1, 50))
    wait_for(lambda: offset_of(run) > 0)
    server = tracking_server.status(runs)
    assert server is not None
    os.killpg(server.pid, signal.SIGKILL)
    write_steps(run, range(50, 100))
    tracking_server.up(runs)  # the follower would, too, after a while
    write_steps(run, range(100, 120), end="finished")
    assert follower.finish(120).status == "complete"
    assert stored_points(runs, run) == expected_points(run)


def test_a_supervisor_that_is_killed_leaves_no_run_running(runs: Path) -> None:
    """The follower outlives it, sees that nobody trains, and closes the run as KILLED."""
    run, _ = new_run(runs)
    code = (
        "import sys, time; from pathlib import Path\n"
        "from runner.plan import read_plan; from runner.record.layout import RunDir\n"
        "from runner.record.tracking import start_follower\n"
        "run = RunDir(Path(sys.argv[1])); f = start_follower(run, read_plan(run.plan))\n"
        "print('up', flush=True); time.sleep(600)"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)], stdout=subprocess.PIPE
    )
    with supervisor:
        assert supervisor.stdout is not None and supervisor.stdout.readline() == b"up\n"
        write_steps(run, range(1, 5))
        wait_for(lambda: offset_of(run) > 0)
        supervisor.kill()
    wait_for(lambda: [status for _, status in mlflow_runs(runs, run)] == ["KILLED"])
    assert stored_points(runs, run) == expected_points(run)


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("finished", "FINISHED"),
        ("failed", "FAILED"),
        ("stopped", "KILLED"),
        ("preempted", "KILLED"),
        ("limit", "KILLED"),
        (None, "KILLED"),
    ],
)
def test_the_status_is_the_truth(runs: Path, end: str | None, status: str) -> None:
    """What ended badly is not FINISHED, and what nobody runs any more is not RUNNING."""
    run, _ = new_run(runs)
    write_steps(run, range(1, 3), end=end)
    assert sync_local(runs, run) == "complete"
    assert [found for _, found in mlflow_runs(runs, run)] == [status]


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:mlflow"
)  # its use of SQLAlchemy, in process
def test_another_store_gets_everything_too(runs: Path, tmp_path: Path) -> None:
    """Sent to a database without a server, the run is there whole, and counted."""
    run, _ = new_run(runs)
    write_steps(run, range(1, 4), end="finished")
    assert sync_local(runs, run) == "complete"
    plan = json.loads(run.plan.read_text(encoding="utf-8"))
    address = f"sqlite:///{tmp_path}/other.db"
    report = sync(run, dataclasses.replace(target_of(plan, address, address), artifacts="none"))
    assert (report.status, report.num_points) == ("complete", len(expected_points(run)))
    assert sync_local(runs, run) == "complete"
    assert stored_points(runs, run) == expected_points(run)


def test_a_run_taken_up_again_is_running_and_then_finished(runs: Path) -> None:
    """The same MLflow run goes from KILLED to RUNNING to FINISHED."""
    run, _ = new_run(runs)
    write_steps(run, range(1, 3), end="preempted")
    sync_local(runs, run)
    lock = Lock(run)
    assert lock.acquire(0)
    with Journal(run.journal, 2) as journal:
        journal.write("start", run_id=run.run_id, backend="host", device="cpu")
    assert sync_local(runs, run) == "running"
    ((first_id, status),) = mlflow_runs(runs, run)
    assert status == "RUNNING"
    lock.close()
    write_steps(run, range(3, 5), attempt=2, end="finished")
    assert sync_local(runs, run) == "complete"
    assert mlflow_runs(runs, run) == [(first_id, "FINISHED")]


def test_a_diverged_loss_is_seen(runs: Path) -> None:
    """NaN arrives as NaN, not as 0."""
    run, _ = new_run(runs)
    with Journal(run.journal, 1) as journal:
        journal.write("start", run_id=run.run_id)
        journal.write("step", step=1, loss=math.nan, grad_norm=math.inf)
        journal.write("end", status="failed", reason="loss is NaN", exit_code=1)
    assert sync_local(runs, run) == "complete"
    ((mlflow_id, _),) = mlflow_runs(runs, run)
    rows = query(runs, "select key, is_nan from metrics where run_uuid = ?", mlflow_id)
    assert dict(rows) == {"train/loss": 1, "train/grad_norm": 0}


def test_a_second_sender_stands_back(runs: Path) -> None:
    """`sync` of a run that is being followed sends nothing and says so."""
    run, _ = new_run(runs)
    write_steps(run, range(1, 3), end="finished")
    with only_sender(run, wait_seconds=0) as is_ours:
        assert is_ours
        assert sync_local(runs, run) == "busy"
    assert sync_local(runs, run) == "complete"


@pytest.mark.parametrize("is_silent", [False, True], ids=["absent", "silent"])
def test_a_server_that_does_not_answer_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_silent: bool
) -> None:
    """Absent, or accepting and silent: the end does not wait for it, and names the way on.

    The follower that is left behind ends by itself.
    """
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if is_silent:
            listener.listen()
        run, plan = new_run(tmp_path, f"http://jo:{TOKEN}@127.0.0.1:{listener.getsockname()[1]}")
        follower = start_follower(run, plan)
        write_steps(run, range(1, 5))
        wait_for(lambda: read_tracking(run).num_errors)
        write_steps(run, range(5, 9), end="finished")
        assert follower._process is not None
        follower._process.send_signal(signal.SIGSTOP)  # it cannot be what `finish` waits for
        tracked = follower.finish(TRACKING_FINISH_SECONDS)
        os.kill(follower._process.pid, signal.SIGCONT)
        assert os.waitpid(follower._process.pid, 0)[1] == 0
    assert tracked.status == "behind" and tracked.is_sending
    assert f"trainbox sync {run.run_id}" in tracked.text
    state = json.loads(run.tracking.read_text(encoding="utf-8"))
    assert state["num_errors"] > 0 and state["last_error"]["doing"] == "connect"
    assert TOKEN not in run.tracking.read_text(encoding="utf-8") + tracked.text


class Refusing(BaseHTTPRequestHandler):
    """A server that answers everything with one status."""

    status = 500

    def _refuse(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"no")

    do_GET = do_POST = do_PUT = do_PATCH = _refuse

    def log_message(self, *_args: object) -> None:
        pass


@pytest.mark.parametrize("status", [403, 500])
def test_a_server_that_refuses_is_recorded(runs: Path, status: int) -> None:
    """The refusal stands in tracking.json, and the next server gets everything."""
    run, _ = new_run(runs)
    write_steps(run, range(1, 3), end="finished")
    handler = type("Handler", (Refusing,), {"status": status})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        plan = json.loads(run.plan.read_text(encoding="utf-8"))
        report = sync(run, target_of(plan, address, address))
        server.shutdown()
        thread.join()
    assert report.status == "behind"
    assert report.error is not None and str(status) in report.error
    assert sync_local(runs, run) == "complete"
    assert stored_points(runs, run) == expected_points(run)


def test_tracking_that_is_off_starts_nothing(tmp_path: Path) -> None:
    """`uri: none`: no process, no file, one word in the summary."""
    run, plan = new_run(tmp_path, "none")
    tracked = start_follower(run, plan).finish(1)
    assert tracked.status == "off" and not run.tracking.exists()


def test_no_secret_and_no_sample_text_is_sent(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token in the environment and a sentence in the data are nowhere in MLflow or the run."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    run, _ = new_run(runs)
    (runs / "train.jsonl").write_text(json.dumps({"text": SENTENCE}), encoding="utf-8")
    write_steps(run, range(1, 3), end="finished")
    assert sync_local(runs, run) == "complete"
    kept = [*run.path.rglob("*"), *(runs / ".mlflow").rglob("*")]
    blob = b"".join(path.read_bytes() for path in kept if path.is_file())
    assert TOKEN.encode() not in blob
    assert SENTENCE.encode() not in blob
