"""How long the end of training waits for an MLflow server that is away.

Supervises a process that does a step a second, with a server that is absent, silent, or answers
everything with an error, and without tracking; what counts is the time from the last line of the
training process to the end of the command. In turn A B C … A B C …, for the machine may be busy.

Usage: python -m bench.tracking_outage [--times 3] [--seconds 15] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

from runner.execute import execute
from runner.plan import read_plan
from runner.record.journal import read_events
from tests.runner.test_supervise import ScriptBackend
from tests.tiny import tiny_run, write_tiny_model


class Refusing(BaseHTTPRequestHandler):
    """Answers everything with one status."""

    status = 500

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"no")

    do_POST = do_PUT = do_PATCH = do_GET

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def refusing(status: int) -> Iterator[str]:
    """Serve an error."""
    handler = type("Handler", (Refusing,), {"status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def silent() -> Iterator[str]:
    """Accept connections and never answer."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def address(uri: str) -> Iterator[str]:
    yield uri


SERVERS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "no tracking": lambda: address("none"),
    "absent": lambda: address("http://127.0.0.1:9"),
    "silent": silent,
    "error 500": lambda: refusing(500),
    "error 403": lambda: refusing(403),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.tracking_outage", description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=15, help="of training")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    seconds: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        model = write_tiny_model(Path(folder) / "model")
        for turn in range(args.times):
            for name, server in SERVERS.items():
                with server() as uri:
                    path = Path(folder) / f"{name}-{turn}"
                    seconds[name].append(end_seconds(path, model, uri, args.seconds))
        time.sleep(15)  # the followers that were left end by themselves
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"cpus": os.cpu_count(), "load_average": os.getloadavg()[0]},
        "seconds_to_end": medians,
        "more_than_without": {name: at - medians["no tracking"] for name, at in medians.items()},
        "all_seconds": seconds,
    }
    print(json.dumps(result, indent=1))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def end_seconds(path: Path, model: Path, uri: str, num_seconds: int) -> float:
    """Return the seconds from the last step of a run to the end of its command."""
    run = tiny_run(path, model, tracking={"mlflow": {"uri": uri}})
    run.job.write_text("{}\n", encoding="utf-8")
    script = f"""
for step in range(1, {num_seconds} + 1):
    time.sleep(1)
    write(event='step', step=step, loss=1.0, step_seconds=1.0, tokens_per_second=1.0)
"""
    with redirect_stdout(StringIO()):
        assert execute(run, read_plan(run.plan), ScriptBackend(script), as_json=True) == 0
    steps = [event for event in read_events(run.journal) if event["event"] == "step"]
    return time.time() - steps[-1]["time"]


if __name__ == "__main__":
    raise SystemExit(main())
