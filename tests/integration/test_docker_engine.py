"""An engine that stops, crashes and comes back under a container; it is one of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runner.backends.docker import DockerBackend
from runner.container.engine import connect, find_builder
from runner.container.process import ContainerProcess
from runner.errors import BackendError
from runner.record.layout import RunDir
from tests.integration.containers import START_SECONDS, wait_until

# the SDK leaves a socket to the garbage collector where an engine goes away under it
UNCLOSED = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
pytestmark = [pytest.mark.docker, UNCLOSED]
SAVES_AND_ENDS = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(75))
signal.signal(signal.SIGINT, lambda *_: os._exit(130))
while True:
    print("trains", flush=True)
    time.sleep(0.1)
"""


class Engine:
    """A dockerd with folders, socket and network of its own, and containerd beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = f"unix://{folder}/docker.sock"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._containerd = self._started(
            "containerd", "--root", str(folder / "containerd"), "--state", str(folder / "state"),
            "--address", str(folder / "containerd.sock"),
        )  # fmt: skip

    def _started(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def start(self, *, live_restore: bool) -> None:
        """Start it and wait until it answers."""
        (self.folder / "daemon.json").write_text(json.dumps({"live-restore": live_restore}))
        (self.folder / "pid").unlink(missing_ok=True)
        self._daemon = self._started(
            "unshare", "--net",  # an engine without a bridge removes the one of this machine's
            "dockerd", "--data-root", str(self.folder / "root"), "--exec-root",
            str(self.folder / "exec"), "--host", self.host, "--pidfile", str(self.folder / "pid"),
            "--config-file", str(self.folder / "daemon.json"), "--bridge", "none",
            "--iptables=false", "--containerd", str(self.folder / "containerd.sock"),
        )  # fmt: skip
        wait_until(self.answers)

    def answers(self) -> bool | None:
        try:
            with connect(timeout_seconds=5) as client:
                return bool(client.ping()) or None
        except (BackendError, OSError):
            return None

    def end(self, number: int) -> None:
        """Send a signal and wait for its end."""
        assert self._daemon is not None
        self._daemon.send_signal(number)
        self._daemon.wait(timeout=START_SECONDS)

    def close(self) -> None:
        """End containerd, and undo the mounts that an engine leaves."""
        self._containerd.terminate()
        self._containerd.wait(timeout=START_SECONDS)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in reversed([each for each in mounts if each.startswith(f"{self.folder}/")]):
            subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture(scope="module")
def base(backend: DockerBackend, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Name and archive of the base image, which has a Python."""
    name = str(backend.surroundings()["image"]["base"])
    archive = tmp_path_factory.mktemp("base") / "base.tar"
    subprocess.run([*find_builder(), "save", "--output", str(archive), name], check=True)
    return name, archive


@pytest.fixture(scope="module")
def engine(base: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that holds the base image."""
    if os.getuid() != 0 or shutil.which("dockerd") is None:
        pytest.fail("starts an engine of its own: needs root and dockerd")
    engine = Engine(tmp_path_factory.mktemp("engine"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("DOCKER_HOST", engine.host)
        engine.start(live_restore=False)
        with connect(timeout_seconds=600) as client, base[1].open("rb") as archive:
            for _ in client.load_image(archive):
                pass
        yield engine
        engine.end(signal.SIGTERM)
        engine.close()


@pytest.fixture
def live_restore(engine: Engine) -> Iterator[None]:
    """The engine with `live-restore` turned on."""
    engine.end(signal.SIGTERM)
    engine.start(live_restore=True)
    yield
    engine.end(signal.SIGTERM)
    engine.start(live_restore=False)


@pytest.fixture
def trains(engine: Engine, base: tuple[str, Path], tmp_path: Path) -> Iterator[ContainerProcess]:
    """A container that says `trains`, and saves and ends when asked to."""
    run = RunDir(tmp_path)
    with connect() as client:
        host = client.create_host_config(
            init=True, network_mode="none", log_config={"Type": "none"}
        )
        created = client.create_container(
            base[0], ["python3", "-c", SAVES_AND_ENDS], host_config=host
        )
    process = ContainerProcess(created["Id"], run, say=lambda line: None)
    process.start()
    yield process
    process.kill()
    with suppress(BackendError):  # the engine was lost, and the process given up
        wait_until(process.poll)
        process.kill()
    process.terminal.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_engine_that_comes_back_has_ended_the_run_with_a_checkpoint(
    engine: Engine, trains: ContainerProcess, number: int
) -> None:
    """A restart asks containers to end; so does the restart after a crash: 75, start me again."""
    assert trains.terminal.readline() == b"trains\n"
    engine.end(number)
    engine.start(live_restore=False)
    assert wait_until(trains.poll) == 75


def read_now(process: ContainerProcess) -> bytes:
    """Return what has come over the terminal by now."""
    os.set_blocking(process.terminal.fileno(), False)
    return process.terminal.read() or b""


def test_with_live_restore_a_run_outlives_a_restart_of_its_engine(
    live_restore: None, engine: Engine, trains: ContainerProcess
) -> None:
    """The container goes on, its output is attached to again, and it is still heard."""
    assert trains.terminal.readline() == b"trains\n"
    engine.end(signal.SIGTERM)
    read_now(trains)
    engine.start(live_restore=True)
    read_now(trains)
    wait_until(lambda: b"trains" in read_now(trains) or None)
    assert trains.poll() is None
    trains.send_signal(signal.SIGTERM)
    assert wait_until(trains.poll) == 75


def test_a_signal_reaches_a_run_whose_engine_is_away(
    engine: Engine, trains: ContainerProcess
) -> None:
    """Ctrl-C saves and ends the run at once; the engine tells how it ended when it is back."""
    assert trains.terminal.readline() == b"trains\n"
    engine.end(signal.SIGKILL)
    trains.send_signal(signal.SIGINT)
    wait_until(lambda: None if Path(f"/proc/{trains.pid}").exists() else True)
    engine.start(live_restore=False)
    assert wait_until(trains.poll) == 130


def test_a_run_that_ends_while_its_engine_is_away_is_not_judged_by_guess(
    engine: Engine, trains: ContainerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without engine and without a living process the way on is named; the engine knows later."""
    monkeypatch.setattr("runner.container.process.GIVE_UP_SECONDS", 2.0)
    assert trains.terminal.readline() == b"trains\n"
    engine.end(signal.SIGKILL)
    os.kill(trains.pid, signal.SIGKILL)
    with pytest.raises(BackendError, match=f"trainbox attach {tmp_path.name}") as lost:
        wait_until(trains.poll)
    assert lost.value.id == "docker-engine-lost"
    engine.start(live_restore=False)
    again = ContainerProcess(trains._container, RunDir(tmp_path), say=lambda line: None)
    again.adopt()
    assert wait_until(again.poll) == -signal.SIGKILL and again.is_out_of_memory is False
    again.kill()
    again.terminal.close()
