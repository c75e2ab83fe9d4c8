"""How a container can end, with the real engine: stop, kill, rm -f, memory, a second start."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from runner.backends.docker import DockerBackend
from runner.container.engine import connect
from runner.container.process import RETRY_SECONDS, ContainerProcess
from runner.errors import BackendError
from runner.outcome import judge
from runner.record.checkpoint import newest_valid
from tests.integration.containers import (
    Launch,
    container_of,
    first_step,
    names_of_containers,
    wait,
    wait_until,
)

pytestmark = pytest.mark.docker
LONG = {"train": {"max_steps": 100_000}, "checkpoint": {"save_steps": 1_000_000}}


def test_docker_stop_leaves_a_checkpoint_and_75(launch: Launch) -> None:
    """`docker stop` from outside is a preemption: saved, and started again on demand."""
    run, process = launch(**LONG)
    wait_until(first_step(run))
    with connect() as client:
        client.stop(container_of(run))
    assert wait(process) == 75 and process.is_out_of_memory is False
    newest, skipped = newest_valid(run.checkpoints)
    assert newest is not None and not skipped
    process.kill()
    assert container_of(run) not in names_of_containers()


@pytest.mark.parametrize("by", ["kill", "remove"])
def test_a_container_killed_or_removed_from_outside_was_killed(launch: Launch, by: str) -> None:
    """`docker kill` and `docker rm -f` are SIGKILL, and no want of memory."""
    run, process = launch(**LONG)
    with connect() as client:
        if by == "kill":
            client.kill(container_of(run))
        else:
            client.remove_container(container_of(run), force=True)
    assert wait(process) == -signal.SIGKILL and not process.is_out_of_memory


def test_a_container_beyond_its_memory_ended_for_want_of_it(launch: Launch) -> None:
    """`resources.memory_gib` is kept by the kernel, and the record says so, not `killed`."""
    _, process = launch(**LONG, resources={"memory_gib": 0.1})
    code = wait(process)
    assert process.is_out_of_memory is True
    outcome = judge(code, [], None, "", is_out_of_memory=True)
    assert outcome.status == "failed" and "out of memory" in outcome.reason


def test_an_end_that_the_engine_tells_late_is_waited_for_once(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens any more to a container that has ended: no thread, no socket is left."""
    note_end = ContainerProcess._note_end

    def late(process: ContainerProcess, state: dict[str, Any]) -> None:
        time.sleep(2 * RETRY_SECONDS)
        note_end(process, state)

    monkeypatch.setattr(ContainerProcess, "_note_end", late)
    run, process = launch(**LONG)
    with connect() as client:
        client.kill(container_of(run))
    assert wait(process) == -signal.SIGKILL
    process.kill()
    assert not process._pump.is_alive()


def test_a_run_has_one_container(launch: Launch, backend: DockerBackend) -> None:
    """The container of a run keeps a second one out, and leads to `attach`."""
    run, _ = launch(**LONG)
    with pytest.raises(BackendError, match="trainbox attach") as caught:
        backend.launch(run, {"TRAINBOX_ATTEMPT": "2"}, -1)
    assert caught.value.id == "run-in-use"
