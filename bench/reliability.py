"""What it costs that nothing is lost: sealed checkpoints, the journal, the supervisor.

Trains the tiny model of the tests with an adapter of about 100 MB of state, on this disk:

- saving: how long training waits, the stock trainer's save and ours in turn A B A B …, and how long
  a thread hashes and flushes afterwards;
- recording: seconds of our callbacks in a step (journal line flushed to disk, heartbeat, counts);
- supervising: cpu seconds of a supervisor for each second of a run.

Usage: python -m bench.reliability [--saves 8] [--folder DIR] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

RANK = 4096  # of the adapter: 37 MB of weights, 74 MB of moments on the tiny model
SUPERVISED_SECONDS = 20
RECORDING = ("on_log", "count_tokens", "beat")

seconds: dict[str, list[float]] = defaultdict(list)  # on the wall
cpu_seconds: dict[str, list[float]] = defaultdict(list)  # of the calling thread; steady under load


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.reliability", description=__doc__)
    parser.add_argument("--saves", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        state_bytes = train(Path(folder), args.saves)
        supervisor_share = supervise(Path(folder))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    cpu = {name: statistics.median(values) for name, values in cpu_seconds.items()}
    recorded = sum(medians[name] for name in RECORDING)
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {
            "cpus": os.cpu_count(),
            "processor": platform.machine(),
            "load_average": os.getloadavg()[0],
        },
        "checkpoint_bytes": state_bytes,
        "save_seconds": {
            "stock": medians["stock"],
            "ours, training waits": medians["ours"],
            "ours, sealing beside it": medians["seal"],
            "of sealing, hashing": medians["hash"],
            "of sealing, flushing to disk": medians["flush"],
            "num_each": len(seconds["ours"]),
        },
        "save_ratio": medians["ours"] / medians["stock"],
        "save_cpu_seconds": {name: cpu[name] for name in ("stock", "ours", "seal")},
        "save_cpu_ratio": cpu["ours"] / cpu["stock"],
        "recording_seconds_a_step": recorded,
        "recording_cpu_seconds_a_step": sum(cpu[name] for name in RECORDING),
        "supervisor_cpu_share": supervisor_share,
        "all_seconds": {name: values for name, values in seconds.items() if len(values) < 100},
    }
    print(json.dumps(result, indent=1))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def train(folder: Path, num_saves: int) -> int:
    """Train with a save of each kind in turn; return the bytes of a checkpoint."""
    from torch.serialization import set_crc32_options

    from runner.plan import read_plan
    from runner.record import checkpoint
    from runner.record.heartbeat import Heartbeat
    from runner.record.journal import Journal
    from runner.train import sft
    from runner.train.attempt import Attempt
    from runner.train.callbacks import Recorded, Recorder, Trainer
    from runner.train.stop import Stop
    from runner.train.terminal import Terminal
    from tests.tiny import tiny_run, write_tiny_model

    def save(self: Any, model: Any, trial: Any) -> None:
        self.recorder.settle()  # checkpoints are minutes apart; these are not
        if self.state.global_step % 2:
            timed("ours", ours)(self, model, trial)
        else:
            set_crc32_options(True)  # as PyTorch does unless asked; ours turns it off
            timed("stock", Trainer._save_checkpoint)(self, model, trial)
            set_crc32_options(False)
            shutil.rmtree(run.staging)

    ours = Recorded._save_checkpoint
    Recorded._save_checkpoint = save  # type: ignore[method-assign]
    checkpoint.seal = timed("seal", checkpoint.seal)
    checkpoint.file_sha256 = timed_sum("hash", checkpoint.file_sha256)
    checkpoint._sync = timed_sum("flush", checkpoint._sync)
    for name in ("on_log", "count_tokens", "beat"):
        setattr(Recorder, name, timed(name, getattr(Recorder, name)))
    run = tiny_run(
        folder / "run",
        write_tiny_model(folder / "model"),
        eval_samples=0,
        lora={"r": RANK, "alpha": 8},
        train={"max_steps": 2 * num_saves},
        checkpoint={"save_steps": 1},
    )
    run.checkpoints.mkdir()
    with Journal(run.journal, 1) as journal:
        attempt = Attempt(
            run=run,
            plan=read_plan(run.plan),
            journal=journal,
            heartbeat=Heartbeat(run.heartbeat),
            terminal=Terminal(sys.stdout.fileno()),
            stop=Stop(),
        )
        assert sft.train(attempt) == 0
    newest = checkpoint.sealed_steps(run.checkpoints)[0]
    for name in ("hash", "flush"):
        close_sum(name)
    return sum(path.stat().st_size for path in newest.rglob("*"))


def supervise(folder: Path) -> float:
    """Supervise a process that does a step every half second; return cpu seconds a second."""
    from runner.plan import read_plan
    from runner.supervise import Supervisor
    from tests.runner.test_supervise import ScriptBackend
    from tests.tiny import tiny_run

    run = tiny_run(folder / "supervised", folder / "model")
    script = f"""
for step in range({2 * SUPERVISED_SECONDS}):
    write(event='step', step=step, loss=1.0)
    time.sleep(0.5)
"""
    supervisor = Supervisor(
        run,
        read_plan(run.plan),
        ScriptBackend(script),
        on_event=lambda event: None,
        on_terminal=lambda line: None,
        max_seconds=None,
        grace_seconds=60,
    )
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    assert supervisor.supervise().exit_code == 0
    after, passed = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - started
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu / passed


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that notes how long each call took; a seal closes its parts."""

    def measured(*args: Any, **kwargs: Any) -> Any:
        started, cpu_started = time.perf_counter(), time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[name].append(time.perf_counter() - started)
            cpu_seconds[name].append(time.thread_time() - cpu_started)
            if name == "seal":
                for part in ("hash", "flush"):
                    close_sum(part)

    return measured


parts: dict[str, float] = defaultdict(float)


def timed_sum(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose calls are added up until the sum is closed."""

    def measured(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            parts[name] += time.perf_counter() - started

    return measured


def close_sum(name: str) -> None:
    if name in parts:
        seconds[name].append(parts.pop(name))


if __name__ == "__main__":
    raise SystemExit(main())
