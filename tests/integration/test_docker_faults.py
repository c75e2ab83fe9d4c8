"""Containers that are killed, stopped, paused and starved: the run ends with the same bits."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.backends.docker import DockerBackend
from runner.container.engine import connect
from runner.outcome import KILLED, Outcome
from runner.plan import read_plan
from runner.record.checkpoint import newest_valid
from runner.record.journal import Event, Journal, read_events
from runner.record.layout import RunDir
from runner.supervise import Supervisor
from runner.watchdog import tree_of
from tests.faults.test_memory import HUNGRY, assert_same_losses, counts, hungry_run
from tests.integration.containers import Launch, container_of, state_of, wait, wait_until
from tests.runner.train.watch import curve, events, log_of, result_sha256
from tests.tiny import tiny_run

pytestmark = pytest.mark.docker
NUM_STEPS = 240  # a strike at the first step must come before the last
PAUSE_SECONDS = 3.0
HUNGRY_GIB = 0.9  # between what the hungry run takes with 4 and with 2 samples at once
Strike = Callable[[RunDir], None]


def write_run(path: Path, model: Path) -> RunDir:
    """Write a run of seconds, with dropout and a few checkpoints."""
    return tiny_run(
        path,
        model,
        lora={"dropout": 0.1},
        train={"max_steps": NUM_STEPS},
        checkpoint={"save_steps": 40},
    )


def attempt(run: RunDir, backend: DockerBackend, strike: Strike | None = None) -> Outcome:
    """Supervise an attempt, struck when it has done its first step."""
    is_struck = False

    def on_event(event: Event) -> None:
        nonlocal is_struck
        if strike is not None and event["event"] == "step" and not is_struck:
            is_struck = True
            strike(run)

    return supervisor_of(run, backend, on_event).supervise()


def supervisor_of(
    run: RunDir, backend: DockerBackend, on_event: Callable[[Event], None] = lambda event: None
) -> Supervisor:
    return Supervisor(
        run,
        read_plan(run.plan),
        backend,
        on_event=on_event,
        on_terminal=lambda line: None,
        max_seconds=None,
        grace_seconds=30,
    )


@pytest.fixture(scope="module")
def undisturbed(
    backend: DockerBackend, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunDir:
    run = write_run(
        tmp_path_factory.mktemp("undisturbed") / f"undisturbed-{os.getpid()}", tiny_model
    )
    assert attempt(run, backend).exit_code == 0, log_of(run)
    return run


def assert_same_bits(run: RunDir, undisturbed: RunDir) -> None:
    assert curve(run) == curve(undisturbed)
    assert result_sha256(run) == result_sha256(undisturbed)


def kill_container(run: RunDir) -> None:
    with connect() as client:
        client.kill(container_of(run))


def kill_trainer(run: RunDir) -> None:
    """kill -9 the training process inside; the first process of the container is its init."""
    os.kill(tree_of(state_of(run)["Pid"])[1], signal.SIGKILL)


def stop_container(run: RunDir) -> None:
    with connect() as client:
        client.stop(container_of(run))


def pause_container(run: RunDir) -> None:
    with connect() as client:
        client.pause(container_of(run))
    threading.Thread(target=go_on_later, args=(run,), daemon=True).start()


def go_on_later(run: RunDir) -> None:
    time.sleep(PAUSE_SECONDS)
    with connect() as client:
        client.unpause(container_of(run))


def test_a_run_struck_again_and_again_ends_with_the_same_bits(
    backend: DockerBackend, undisturbed: RunDir, tiny_model: Path, tmp_path: Path
) -> None:
    """`docker kill`, kill -9 inside, `docker stop`, `docker pause`: each is told for what it is."""
    run = write_run(tmp_path / f"struck-{os.getpid()}", tiny_model)
    found = [attempt(run, backend, strike) for strike in (kill_container, kill_trainer)]
    assert [(each.status, each.reason) for each in found] == [("failed", KILLED)] * 2
    assert attempt(run, backend, stop_container).exit_code == 75
    assert newest_valid(run.checkpoints)[1] == []
    assert attempt(run, backend, pause_container).exit_code == 0, log_of(run)
    assert_same_bits(run, undisturbed)
    assert events(run, "warning") == []


def test_a_left_container_beyond_its_memory_goes_on_in_halves(
    launch: Launch, backend: DockerBackend, tiny_model: Path, tmp_path: Path
) -> None:
    """Its supervisor is gone; who attaches hears of the engine why it ended, and mends it.

    The next attempt has the container's own image, and the same samples make a step.
    """
    whole = hungry_run(tmp_path / f"whole-{os.getpid()}", tiny_model)
    assert attempt(whole, backend).exit_code == 0, log_of(whole)
    run, process = launch(**HUNGRY, resources={"memory_gib": HUNGRY_GIB})
    wait(process)
    with Journal(tmp_path / "start", 1) as first:  # what its supervisor had written
        first.write("start", backend="docker", num_steps=2)
    run.journal.write_bytes((tmp_path / "start").read_bytes() + run.journal.read_bytes())
    assert supervisor_of(run, DockerBackend()).attach().exit_code == 0, log_of(run)
    assert [end["fault"] for end in events(run, "end")] == ["train-killed-for-memory", None]
    assert read_plan(run.plan).training.micro_batch_size == 2
    assert counts(run) == counts(whole)
    assert_same_losses(run, whole)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_fills_up_under_a_container_loses_nothing_sealed(
    backend: DockerBackend, undisturbed: RunDir, tiny_model: Path, small_disk: Path
) -> None:
    """The end is named as on the host, and with room again the same bits come out."""
    run = write_run(small_disk / f"full-{os.getpid()}", tiny_model)

    def fill(_: RunDir) -> None:
        with (small_disk / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small_disk).free)

    outcome = attempt(run, backend, fill)
    assert outcome.fault in ("train-disk-full", "checkpoint-cannot-be-written"), log_of(run)
    assert newest_valid(run.checkpoints)[1] == []
    (small_disk / "ballast").unlink()
    assert attempt(run, backend).exit_code == 0, log_of(run)
    assert_same_bits(run, undisturbed)


def test_a_paused_container_says_so(launch: Launch) -> None:
    """Its silence is no hang, and Ctrl-C reaches it all the same."""
    run, process = launch(train={"max_steps": 100_000}, checkpoint={"save_steps": 1_000_000})
    wait_until(lambda: read_events(run.journal) or None)  # it hears signals from here on
    assert not process.is_paused()
    with connect() as client:
        client.pause(container_of(run))
    assert process.is_paused()
    process.send_signal(signal.SIGINT)
    assert wait(process) == 130
