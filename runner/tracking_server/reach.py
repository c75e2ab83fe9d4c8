"""The port that the MLflow server listens on, and whether it answers there."""

from __future__ import annotations

import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from runner.errors import BackendError

HOST = "127.0.0.1"
FIRST_PORT = 5000
NUM_PORTS = 100
PORT_VARIABLE = "TRAINBOX_MLFLOW_PORT"
START_SECONDS = 300  # 7 s on two free cores; longer where training has them
HEALTH_SECONDS = 2


def choose_port(start: int = FIRST_PORT) -> int:
    """Return the port that the environment names, else the first free one.

    Raises:
        BackendError: the port named is taken or no port, or there is no free one.
    """
    if named := os.environ.get(PORT_VARIABLE):
        if not (named.isdecimal() and 0 < int(named) < 2**16):
            raise _bad_port(f"{PORT_VARIABLE} is `{named}`, expected a number from 1 to 65535")
        if not _is_free(int(named)):
            raise _bad_port(f"something else listens on {HOST}:{named} ({PORT_VARIABLE})")
        return int(named)
    for port in range(start, start + NUM_PORTS):
        if _is_free(port):
            return port
    raise BackendError(
        id="tracking-server-no-port",
        what=f"no free port between {start} and {start + NUM_PORTS - 1} on {HOST}",
        why="the MLflow server needs one",
        fix="end what listens there, or name a server: export MLFLOW_TRACKING_URI=http://…",
    )


def wait_until_healthy(
    url: str,
    *,
    is_alive: Callable[[], bool],
    listens: Callable[[], bool] = lambda: True,
    not_started: Callable[[str], BackendError],
) -> None:
    """Wait for the first answer of a server.

    Args:
        url: asked again and again.
        is_alive: whether the server may still come to answer.
        listens: whether it is this server that answers, and not another that took its port.
        not_started: makes an error of a reason.

    Raises:
        BackendError: what `not_started` makes of the reason.
    """
    deadline = time.monotonic() + START_SECONDS
    while not (_answers(url) and listens()):
        if not is_alive():
            raise not_started("it ended by itself")
        if time.monotonic() > deadline:
            raise not_started(f"it did not answer within {START_SECONDS} s")
        time.sleep(0.1)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: no proxy
    try:
        with opener.open(f"{url}/health", timeout=HEALTH_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _bad_port(what: str) -> BackendError:
    return BackendError(
        id="tracking-server-port",
        what=what,
        why="the MLflow server is to listen there",
        fix=f"name a free port, or unset {PORT_VARIABLE}: then the first free one is taken",
    )
