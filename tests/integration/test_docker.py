"""Training in a real container: rights, files, signals, network, secrets (`make test-docker`).

The model has 0.1 M random parameters; image, engine, command and training code are the real ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.backends.docker import DockerBackend
from runner.container.engine import connect
from runner.container.gpu import gpu_request, prove_gpu
from runner.container.kind import caller, owns_what_it_writes
from runner.errors import BackendError
from runner.machine import read_machine
from runner.plan import Plan, read_plan
from runner.record.checkpoint import newest_valid
from runner.record.journal import read_events
from runner.record.layout import RunDir
from runner.record.state import list_runs, read_state
from tests.forked_trainer import ForkedTrainer
from tests.integration.containers import (
    ROOT,
    SENTENCE,
    TOKEN,
    Launch,
    container_of,
    execute,
    first_step,
    in_container,
    names_of_containers,
    wait,
    wait_until,
    write_job,
)
from tests.tiny import tiny_run

pytestmark = pytest.mark.docker
STRANGER = 4711  # a uid without a passwd entry
REACH = """
import socket, sys
for host, port in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        socket.create_connection((host, int(port)), timeout=60).close()
        print("reached", host)
    except OSError as error:
        print("not reached", host, error)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of the stranger's own."""
    home = Path(tempfile.mkdtemp(prefix="trainbox-stranger-"))
    yield home
    shutil.rmtree(home)


def as_stranger(home: Path, *arguments: str, groups: list[int]) -> subprocess.CompletedProcess[str]:
    """Run `trainbox` as a user without a name, with a token in the environment.

    The one right the user is given is to read: this Python may lie in root's home.
    """
    groups_option = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    become = [
        "setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", groups_option,
        "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
    ]  # fmt: skip
    environment = {
        name: value for name, value in os.environ.items() if name.startswith("TRAINBOX_BASE")
    }
    environment |= {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "TRAINBOX_RUNS": str(home / "runs"),
        "TRAINBOX_CACHE": str(home / "cache"),
        "HF_TOKEN": TOKEN,
    }
    return subprocess.run(
        [*become, sys.executable, "-m", "runner", *arguments],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_user_without_a_name_trains_and_owns_every_file(
    backend: DockerBackend, tiny_model: Path, home: Path
) -> None:
    """`train --backend docker` of an ordinary user ends well, and all files are that user's."""
    write_job(home, tiny_model, max_steps=2)
    for path in [home, *home.rglob("*")]:
        os.chown(path, STRANGER, STRANGER)
    socket_group = os.stat("/var/run/docker.sock").st_gid
    done = as_stranger(
        home, "train", "job.json", "--backend", "docker", "--offline", groups=[socket_group]
    )
    assert done.returncode == 0, done.stderr
    (run,) = list_runs(home / "runs")
    assert (read_state(run).status, read_state(run).step) == ("finished", 2)
    assert list(run.adapter.glob("*.safetensors"))
    assert "answer before" in done.stdout and SENTENCE not in run.log.read_text()
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert {path.lstat().st_uid for path in run.path.rglob("*")} == {STRANGER}
    for path in files:
        assert TOKEN.encode() not in path.read_bytes(), path
        assert SENTENCE.encode() not in path.read_bytes(), path
    manifest = json.loads(run.manifest.read_text())
    assert manifest["backend"] == "docker" and manifest["image"]["image_id"].startswith("sha256:")
    assert manifest["lock"]["found_by"] == "image label"


def test_a_user_who_may_not_speak_to_the_engine_is_told_so(
    backend: DockerBackend, home: Path
) -> None:
    """Without the socket's group the error is about permission, not about a missing engine."""
    os.chown(home, STRANGER, STRANGER)
    mode = stat.S_IMODE(os.stat("/var/run/docker.sock").st_mode)
    assert not mode & stat.S_IWOTH, "everybody may use this engine"
    done = as_stranger(home, "image", "build", "cpu", groups=[])
    assert done.returncode == 1 and "error[docker-permission]" in done.stderr


def test_the_container_has_no_rights_and_sigterm_leaves_a_checkpoint(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network, no capability, nothing writable but the run, no token; SIGTERM: saved, 75."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    run, process = launch(train={"max_steps": 100_000}, checkpoint={"save_steps": 1_000_000})
    wait_until(first_step(run))
    client = connect()
    facts = client.inspect_container(container_of(run))
    assert TOKEN not in json.dumps(facts)
    host = facts["HostConfig"]
    assert host["NetworkMode"] == "none" and host["CapDrop"] == ["ALL"] and host["ReadonlyRootfs"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"] and host["PidsLimit"] and host["Init"]
    assert host["LogConfig"]["Type"] == "none" and host["ShmSize"] == 2 << 30
    assert not host["Memory"] and not host["Ulimits"], "limits that nobody asked for"
    assert {m["Destination"] for m in facts["Mounts"] if m["RW"]} == {str(run.path)}
    status = in_container(client, run, ["cat", "/proc/self/status"])
    assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    kernels = "cp /bin/true /kernels/k && /kernels/k && echo loads"
    assert "loads" in in_container(client, run, ["sh", "-c", kernels])
    temporary = kernels.replace("/kernels", "/tmp")
    assert "loads" not in in_container(client, run, ["sh", "-c", temporary])
    client.close()
    process.send_signal(signal.SIGTERM)
    assert wait(process) == 75
    newest, skipped = newest_valid(run.checkpoints)
    assert newest is not None and not skipped
    process.kill()
    assert container_of(run) not in names_of_containers()


def test_limits_that_were_asked_for_hold_inside(launch: Launch) -> None:
    """Memory and shared memory are what the job says."""
    resources = {"memory_gib": 3, "shm_gib": 0.25}
    run, process = launch(resources=resources, train={"max_steps": 100_000})
    wait_until(first_step(run))
    client = connect()
    host = client.inspect_container(container_of(run))["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 3 << 30
    assert "256M" in in_container(client, run, ["df", "-h", "/dev/shm"])
    client.close()
    process.kill()


def test_locked_memory_is_unlimited_or_the_engine_says_that_it_may_not(launch: Launch) -> None:
    """An engine without that right itself cannot give it; the error names the key of the job."""
    try:
        run, process = launch(resources={"memlock": True}, train={"max_steps": 100_000})
    except BackendError as error:
        assert error.id == "docker-no-memlock" and "resources.memlock=false" in error.fix
        return
    wait_until(first_step(run))
    client = connect()
    limits = in_container(client, run, ["cat", "/proc/1/limits"])
    assert re.search(r"Max locked memory\s+unlimited\s+unlimited", limits)
    client.close()
    process.kill()


def test_nothing_answers_from_inside_a_training_container(
    launch: Launch, backend: DockerBackend
) -> None:
    """A service on the host's gateway address is reached from a bridge, not from a run."""
    run, _ = launch(train={"max_steps": 100_000}, checkpoint={"save_steps": 1_000_000})
    wait_until(first_step(run))
    client = connect()
    bridge = client.inspect_network("bridge")["IPAM"]["Config"][0]  # type: ignore[no-untyped-call]
    gateway = bridge.get("Gateway") or bridge["Subnet"].rsplit(".", 1)[0] + ".1"
    with socket.create_server(("0.0.0.0", 0)) as server:
        threading.Thread(target=accept_all, args=(server,), daemon=True).start()
        port = str(server.getsockname()[1])
        command = ["python", "-c", REACH, gateway, port]
        control = client.create_container(backend.surroundings()["image"]["tag"], ["sleep", "600"])
        try:
            client.start(control)
            assert f"reached {gateway}\n" == execute(client, control["Id"], command)
        finally:
            client.remove_container(control, force=True)
        assert in_container(client, run, command).startswith(f"not reached {gateway}")
        server.shutdown(socket.SHUT_RDWR)
    interfaces = in_container(client, run, ["ls", "/sys/class/net"])
    client.close()
    assert interfaces.split() == ["lo"]


def test_a_container_trains_the_same_numbers_as_the_host(
    launch: Launch,
    trainer: ForkedTrainer,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    """The losses of a run in the image are those of the same run on the host, to 1e-6."""
    contained, process = launch()
    on_host = tiny_run(tmp_path / "on-host", tiny_model)
    assert trainer.train(on_host) == 0 and wait(process) == 0
    assert losses(contained) == pytest.approx(losses(on_host), abs=1e-6)


def losses(run: RunDir) -> list[float]:
    return [e["loss"] for e in read_events(run.journal) if e["event"] in ("step", "eval")]


def test_a_gpu_that_the_engine_cannot_give_is_an_error_before_the_run(
    backend: DockerBackend, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the engine has no NVIDIA runtime, the error names what to install."""
    if read_machine().gpus:
        pytest.skip("this machine has a GPU")
    plan = _on_cuda(read_plan(tiny_run(tmp_path / "r", tiny_model).plan))
    request = gpu_request(plan, read_machine())
    assert request is not None
    with pytest.raises(BackendError, match="docker-no-gpu"):
        prove_gpu(backend.surroundings()["image"]["tag"], request)


def test_the_owner_of_what_a_container_writes_is_tried_out(
    backend: DockerBackend, tmp_path: Path
) -> None:
    """The caller owns what it writes inside; a stranger may not write, or owns it himself."""
    tag = backend.surroundings()["image"]["tag"]
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with connect() as client:
        assert owns_what_it_writes(client, tag, tmp_path, caller())
        assert not owns_what_it_writes(client, tag, tmp_path, f"{STRANGER}:{STRANGER}")
        assert not owns_what_it_writes(client, tag, open_to_all, f"{STRANGER}:{STRANGER}")
    assert not list(tmp_path.rglob(".owner-*"))


def test_neither_token_nor_settings_are_in_the_image(backend: DockerBackend) -> None:
    """A token of the builder's environment is not in the image's history or configuration."""
    client = connect()
    tag = backend.surroundings()["image"]["tag"]
    described = json.dumps([client.inspect_image(tag), client.history(tag)])  # type: ignore[no-untyped-call]
    client.close()
    assert TOKEN not in described and "hf_" not in described
    assert json.loads(described)[0]["Config"]["User"] == "trainbox"


def accept_all(server: socket.socket) -> None:
    """Accept connections until the server is shut down."""
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def _on_cuda(plan: Plan) -> Plan:
    from dataclasses import replace

    return replace(plan, training=replace(plan.training, device="cuda"))
