"""The image by itself, with `docker run` as a person or a cloud gives it, without our backend.

`make test-docker VARIANT=cu130` runs the same on another variant.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.record.layout import RunDir
from runner.record.state import list_runs, read_state
from tests.integration.containers import write_job

pytestmark = pytest.mark.docker
IMAGE_USER = 10001
STRANGER = 12345  # a uid without a passwd entry
BROKEN_DRIVER = """#!/bin/sh
echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver." >&2
exit 9
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `docker run --rm` without a network; stderr comes with stdout."""
    return subprocess.run(
        ["docker", "run", "--rm", "--network=none", "--env=OMP_NUM_THREADS=1", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture
def workspace(tiny_model: Path) -> Iterator[Path]:
    """A folder with a job, its data and its model, for whoever is named its owner."""
    folder = Path(tempfile.mkdtemp(prefix="trainbox-workspace-"))
    write_job(folder, tiny_model, max_steps=2)
    yield folder
    shutil.rmtree(folder)


def give(folder: Path, user: int) -> None:
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user, user)


def train(*more: str) -> list[str]:
    """Return the command that trains the job of a workspace."""
    model = "model.name_or_path=/workspace/model"
    return ["trainbox", "train", "job.json", "--offline", "--set", model, *more]


def finished(folder: Path) -> RunDir:
    """Return the only run of a workspace; it must have ended well."""
    (run_dir,) = list_runs(folder / "runs")
    state = read_state(run_dir)
    assert (state.status, state.step) == ("finished", 2)
    assert list(run_dir.adapter.glob("*.safetensors"))
    return run_dir


def owners(folder: Path) -> set[tuple[int, int]]:
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in folder.rglob("*")}


def test_a_container_without_any_right_trains_to_the_end(image: str, workspace: Path) -> None:
    """Read-only, no capability, no network, a uid without a name or home, limited: all is there.

    Neither `--tmpfs` nor `--init` nor a home that can be written is needed.
    """
    give(workspace, STRANGER)
    done = run(
        "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges",
        f"--user={STRANGER}:{STRANGER}", "--pids-limit=256", "--memory=4g",
        f"--volume={workspace}:/workspace", image, *train(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    run_dir = finished(workspace)
    assert owners(run_dir.path) == {(STRANGER, STRANGER)}
    assert '"found_by": "stamp"' in run_dir.manifest.read_text(), "the record names the lock"


def test_the_images_own_user_writes_an_empty_volume(image: str, workspace: Path) -> None:
    """Without `--user` a new volume at /workspace can be written, and MLflow be given by URI."""
    give(workspace, IMAGE_USER)
    volume = f"trainbox-test-{os.getpid()}"
    tracking = "tracking.mlflow.uri=sqlite:////workspace/mlflow.db"
    data = "data.train[0].path=/job/rows.jsonl"
    held = "data.eval[0].path=/job/rows.jsonl"
    try:
        done = run(
            f"--volume={volume}:/workspace", f"--volume={workspace}:/job:ro", image,
            "trainbox", "train", "/job/job.json", "--offline",
            *(word for each in ("model.name_or_path=/job/model", data, held, tracking)
              for word in ("--set", each)),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        copied = run(
            "--user=0", f"--volume={volume}:/volume", f"--volume={workspace}:/out", image,
            "cp", "--archive", "/volume/runs", "/volume/mlflow.db", "/out/",
        )  # fmt: skip
        assert copied.returncode == 0, copied.stdout
    finally:
        subprocess.run(["docker", "volume", "rm", volume], check=True, capture_output=True)
    assert owners(finished(workspace).path) == {(IMAGE_USER, IMAGE_USER)}
    with sqlite3.connect(workspace / "mlflow.db") as database:
        assert database.execute("select status from runs").fetchall() == [("FINISHED",)]
    database.close()


def test_an_image_alone_says_what_it_is_and_what_to_do(image: str) -> None:
    """`docker run IMAGE` names version, variant and stack, what env-check says, and commands."""
    done = run(image)
    variant = os.environ.get("TRAINBOX_TEST_VARIANT") or "cpu"
    assert done.returncode == 0, done.stdout
    assert f"image {variant}: torch" in done.stdout and "trainbox train JOB" in done.stdout
    assert "no NVIDIA card" in done.stdout and "Traceback" not in done.stdout


def test_a_broken_driver_is_a_finding_and_no_stack_trace(image: str, tmp_path: Path) -> None:
    """With a driver that does not answer the container starts and env-check says so."""
    program = tmp_path / "nvidia-smi"
    program.write_text(BROKEN_DRIVER)
    program.chmod(0o755)
    done = run(f"--volume={program}:/usr/bin/nvidia-smi:ro", image)
    assert done.returncode == 0, done.stdout
    assert "driver" in done.stdout and "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("user", "said"),
    [("0:0", "0 root /root"), (f"{STRANGER}:0", f"{STRANGER} {STRANGER} /tmp"),
     (f"{IMAGE_USER}:{IMAGE_USER}", f"{IMAGE_USER} trainbox /home/trainbox")],
)  # fmt: skip
def test_every_user_has_a_name_and_a_home_that_can_be_written(
    image: str, user: str, said: str
) -> None:
    """Libraries ask for both; a uid that the image does not know has neither by itself."""
    done = run(f"--user={user}", image, "sh", "-c", 'echo "$(id -u) $USER $HOME"; : > "$HOME/x"')
    assert done.stdout.strip() == said
