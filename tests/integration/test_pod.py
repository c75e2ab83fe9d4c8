"""The image as a rented pod: it is the whole machine, its start command may be anything.

RunPod starts it as root with a volume of root's at /workspace and hands over the template's start
command; a template may replace the entry point; SkyPilot installs packages into every pod.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runner.record.checkpoint import newest_valid
from runner.record.layout import RunDir
from runner.record.state import list_runs, read_state
from tests.integration.containers import first_step, wait_until, write_job

pytestmark = pytest.mark.docker
GRACE = "120"  # seconds
TRAIN = "trainbox train job.json --offline --set model.name_or_path=/workspace/model"


def docker(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=check,
    )


class Pod:
    """A container as RunPod starts one: detached, root, no init, the volume at /workspace."""

    def __init__(self, image: str, workspace: Path, *options: str, command: list[str]) -> None:
        self.name = f"trainbox-pod-{os.getpid()}-{workspace.name}"
        docker(
            "run", "--detach", f"--name={self.name}", "--user=0:0", "--env=RUNPOD_POD_ID=p0",
            "--env=OMP_NUM_THREADS=1", f"--volume={workspace}:/workspace",
            *options, image, *command,
        )  # fmt: skip

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the pod's terminal does: not below the entry point."""
        return docker("exec", self.name, *command, check=False)

    def stop(self) -> int:
        docker("stop", f"--time={GRACE}", self.name)
        return self.wait()

    def wait(self) -> int:
        return int(docker("wait", self.name).stdout)

    @property
    def log(self) -> str:
        return docker("logs", self.name).stdout

    def remove(self) -> None:
        docker("rm", "--force", self.name, check=False)


@pytest.fixture
def workspace(tiny_model: Path) -> Iterator[Path]:
    """The pod's volume, with a job, its data and its model."""
    folder = Path(tempfile.mkdtemp(prefix="trainbox-pod-"))
    write_job(folder, tiny_model, max_steps=100_000)
    yield folder
    shutil.rmtree(folder)


def only_run(workspace: Path) -> RunDir | None:
    runs = list_runs(workspace / "runs") if (workspace / "runs").exists() else []
    return runs[0] if runs else None


def test_a_stopped_pod_ends_with_75_and_the_same_command_goes_on(
    image: str, workspace: Path
) -> None:
    """The training is the start command; another pod with a replaced entry point goes on.

    No init of Docker's is there: the signal reaches `trainbox` as the first process. The record on
    the volume is root's, whole, and sent to MLflow afterwards from elsewhere.
    """
    command = f"cd /workspace && exec {TRAIN}"
    pod = Pod(image, workspace, "--network=none", command=["bash", "-c", command])
    try:
        run = wait_until(lambda: only_run(workspace))
        wait_until(first_step(run))
        assert pod.stop() == 75, pod.log
    finally:
        pod.remove()
    newest, skipped = newest_valid(run.checkpoints)
    assert newest is not None and not skipped and read_state(run).status == "preempted"

    job = json.loads((workspace / "job.json").read_text())
    assert job["train"]["max_steps"] == 100_000
    again = Pod(
        image, workspace, "--network=none", "--entrypoint=bash", "--workdir=/workspace",
        command=["-c", TRAIN],
    )  # fmt: skip
    try:
        wait_until(first_step(run, attempt=2))
        assert again.stop() == 75, again.log
    finally:
        again.remove()
    state = read_state(run)
    assert (state.status, state.attempts) == ("preempted", 2)
    assert [each.run_id for each in list_runs(workspace / "runs")] == [run.run_id]
    assert {path.lstat().st_uid for path in run.path.rglob("*")} == {0}
    assert "sent" in sync(workspace) or "up to date" in sync(workspace)


def sync(workspace: Path) -> str:
    """Send the record of the volume to MLflow, as from the user's own machine; return the words."""
    done = subprocess.run(
        [sys.executable, "-m", "runner", "sync", "--all", "--uri", f"sqlite:///{workspace}/ml.db"],
        env={**os.environ, "TRAINBOX_RUNS": str(workspace / "runs")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_pod_of_another_user_is_told_what_to_set(image: str, workspace: Path) -> None:
    """RunPod keeps the image's user unless told otherwise; its volume is root's."""
    done = docker("run", "--rm", "--env=RUNPOD_POD_ID=p0", "--network=none", image, "true")
    assert "RUNPOD_POD_USER=0" in done.stdout


def test_a_public_key_without_a_server_changes_nothing_but_says_so(image: str) -> None:
    """The image holds no ssh server: the command runs, and the log says what is missing."""
    key = "--env=PUBLIC_KEY=ssh-ed25519 AAAA"
    done = docker("run", "--rm", "--user=0:0", key, "--network=none", image, "echo", "runs")
    assert "runs" in done.stdout.splitlines() and "openssh-server" in done.stdout


def test_packages_and_an_ssh_server_can_be_added_to_a_running_pod(
    image: str, workspace: Path
) -> None:
    """apt works as root, the server takes the key alone, and a session finds `trainbox`.

    Needs the distribution's package archive, as every build of the image does.
    """
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    private = workspace / "key"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    private.chmod(0o600)
    pod = Pod(
        image, workspace, f"--env=PUBLIC_KEY={public.decode()}",
        "--env=TRAINBOX_RUNS=/workspace/runs", "--env=HF_TOKEN=planted",
        command=["sleep", "infinity"],
    )  # fmt: skip
    ssh = (
        "ssh", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes", "-i", "/workspace/key",
        "-o", "ConnectionAttempts=60",  # the server goes to the background before it listens
        "root@127.0.0.1",
    )  # fmt: skip
    try:
        apt = "apt-get -o Acquire::Retries=5 -qq"
        install = f"{apt} update && {apt} install -y --no-install-recommends"
        added = pod.execute("sh", "-c", f"{install} openssh-server rsync curl patch")
        assert added.returncode == 0, added.stdout
        started = pod.execute("sh", "/opt/trainbox/start-sshd")
        assert started.returncode == 0, started.stdout
        said = pod.execute(*ssh, "trainbox --version; echo $TRAINBOX_RUNS; echo [$HF_TOKEN]")
        assert "trainbox 0." in said.stdout and "/workspace/runs" in said.stdout
        assert "[]" in said.stdout, "a token is in no session that did not bring it"
        (workspace / "key").unlink()
        assert "Permission denied (publickey)" in pod.execute(*ssh, "true").stdout
    finally:
        pod.remove()
