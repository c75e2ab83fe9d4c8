"""The port of the MLflow server: the one named, or the first free one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from runner.errors import BackendError
from runner.tracking_server.reach import PORT_VARIABLE, choose_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which something else listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_taken_port_is_passed_over(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else on the port: the next free one is taken."""
    monkeypatch.delenv(PORT_VARIABLE, raising=False)
    assert choose_port(taken) > taken


def test_a_port_that_was_named_is_not_replaced(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names a port means it: something else on it is an error that names the port."""
    monkeypatch.setenv(PORT_VARIABLE, str(taken))
    with pytest.raises(BackendError, match="tracking-server-port") as caught:
        choose_port()
    assert f"127.0.0.1:{taken}" in caught.value.what


@pytest.mark.parametrize("named", ["http", "0", "65536", "-1"])
def test_a_port_is_a_number(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no port is refused before anything starts."""
    monkeypatch.setenv(PORT_VARIABLE, named)
    with pytest.raises(BackendError, match="expected a number from 1 to 65535"):
        choose_port()
