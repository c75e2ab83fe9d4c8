"""Real breakage, made here: each is produced for real and must be named."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from env_check.collect import PROBES, collect
from env_check.explain import explain_text
from env_check.facts import Facts, Python, Storage
from env_check.judge import judge
from env_check.probes import python
from env_check.system import LocalSystem
from tests.env_check.recorded import RecordedSystem, load_host

ROOT = Path(__file__).parents[2]
HEALTHY = collect(RecordedSystem(load_host("ubuntu-rtx4090")))


def ids(facts: Facts) -> list[str]:
    return [finding.id for finding in judge(facts)]


def check(*options: str, **variables: str) -> tuple[int, list[str], str]:
    """Run the command in a broken environment; return exit code, ids of findings, and its JSON."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "MLFLOW"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "env_check", "--json", *options],
        cwd=ROOT, env=environment | variables, capture_output=True, text=True,
    )  # fmt: skip
    findings = json.loads(done.stdout)["findings"]
    return done.returncode, [each["id"] for each in findings], done.stdout


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """A hub on the loopback that refuses every token and keeps the headers it saw."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            if self.path.startswith("/moved"):
                self.send_response(302)
                self.send_header("Location", f"http://localhost:{server.server_port}/api")
            else:
                self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_refused_token_is_named_and_never_shown(hub: tuple[str, list[str]]) -> None:
    """A hub that answers 401 to a token gives NET902, and the token is in no output."""
    token = "hf_notARealTokenAtAll"
    code, ids, output = check("--network", HF_ENDPOINT=hub[0], HF_TOKEN=token)
    assert (code, "NET902" in ids) == (1, True)
    assert hub[1] == [f"Bearer {token}"]
    assert "notAReal" not in output


def test_a_redirect_does_not_carry_the_token_away(hub: tuple[str, list[str]]) -> None:
    """A redirect counts as an answer and is not followed."""
    answer = LocalSystem().get(f"{hub[0]}/moved", token="secret")
    assert answer.status == 302
    assert len(hub[1]) == 1


def test_an_unreachable_tracking_server_is_named() -> None:
    """A closed port gives NET903, a warning: training goes on without MLflow."""
    uri = "http://me:secret@127.0.0.1:9"
    code, ids, output = check("--network", MLFLOW_TRACKING_URI=uri, HF_HUB_OFFLINE="1")
    assert (code, "NET903" in ids) == (0, True)
    assert "secret" not in output


def test_a_full_disk_is_named(small_disk: Path) -> None:
    """A cache on a file system without room gives STO802 and fails the check."""
    code, ids, _ = check(HF_HUB_CACHE=str(small_disk / "hub"))
    assert (code, "STO802" in ids) == (1, True)


def test_a_disk_too_small_for_a_job_is_named(small_disk: Path, tmp_path: Path) -> None:
    """What the job will write is compared with the disk it would be written to."""
    wants = tmp_path / "wants.json"
    wants.write_text('{"schema_version": 1, "run_bytes": 2097152}')
    code, ids, _ = check("--requirements", str(wants), TRAINBOX_RUNS=str(small_disk))
    assert (code, "JOB954" in ids) == (1, True)


def test_a_read_only_cache_is_named(small_disk: Path) -> None:
    """A cache on a read-only file system gives STO804, for root too."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    code, ids, _ = check(TRAINBOX_CACHE=str(small_disk / "cache"))
    assert (code, "STO804" in ids) == (1, True)


def test_no_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path without cc, gcc and clang gives EXT801."""
    monkeypatch.setenv("PATH", str(tmp_path))
    found = python.probe(LocalSystem())
    assert found.compiler is None
    assert ids(replace(HEALTHY, python=replace(HEALTHY.python, compiler=None))) == ["EXT801"]


def test_two_mixed_cuda_libraries_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two folders of the loader path with different versions of one library give TORCH608."""
    for version in ("12.4.127", "12.8.61"):
        (tmp_path / version).mkdir()
        (tmp_path / version / f"libnvJitLink.so.{version}").touch()
        (tmp_path / version / "libnvJitLink.so.12").symlink_to(f"libnvJitLink.so.{version}")
    folders = f"{tmp_path}/12.4.127:{tmp_path}/12.8.61"
    monkeypatch.setenv("LD_LIBRARY_PATH", folders)
    found = python.loader_folders(LocalSystem())
    mixed = replace(HEALTHY.python, loader_folders=found)
    assert ids(replace(HEALTHY, python=mixed)) == ["TORCH608"]


def test_a_cpu_torch_is_named() -> None:
    """The torch of this environment, built for the CPU, gives TORCH601 on a GPU host."""
    found = python.probe(LocalSystem())
    if "torch" not in found.packages or found.torch_cuda is not None:
        pytest.skip("needs a torch built for the CPU")
    engine = replace(HEALTHY.engine, runtimes=("runc",), cdi_devices=(), server_version=None)
    seen = replace(HEALTHY.python, packages=found.packages, torch_cuda=found.torch_cuda)
    assert "TORCH601" in ids(replace(HEALTHY, python=seen, engine=engine))


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A copy of a real shared library."""
    import _ctypes

    copy = tmp_path / "library.so"
    shutil.copy(_ctypes.__file__, copy)
    return copy


@pytest.fixture
def torch_folder(tmp_path: Path, library: Path) -> Path:
    """A site folder whose torch has one shared library, whole as it was built."""
    site = tmp_path / "site"
    (site / "torch-2.13.0.dist-info").mkdir(parents=True)
    (site / "torch-2.13.0.dist-info" / "METADATA").write_text("Name: torch\nVersion: 2.13.0+cpu\n")
    (site / "torch" / "lib").mkdir(parents=True)
    (site / "torch" / "version.py").write_text("cuda = None\n")
    shutil.copy(library, site / "torch" / "lib" / "libtorch_cpu.so")
    return site


def damage_seen(site: Path) -> str:
    """Return what a whole check says of the shared libraries below a site folder."""
    _, ids, output = check(PYTHONPATH=str(site))
    assert ("TORCH609" in ids) == ("cut off" in output or "built for" in output)
    return output if "TORCH609" in ids else ""


def test_a_whole_library_is_fine(torch_folder: Path) -> None:
    """A library as it was built has no problem."""
    assert damage_seen(torch_folder) == ""


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_cut_off_library_is_named(torch_folder: Path, share: float) -> None:
    """A library that lost its end, or all of it, gives TORCH609."""
    damaged = torch_folder / "torch" / "lib" / "libtorch_cpu.so"
    with damaged.open("r+b") as file:
        file.truncate(int(damaged.stat().st_size * share))
    assert "libtorch_cpu.so: cut off" in damage_seen(torch_folder)


def test_a_library_of_another_processor_is_named(torch_folder: Path) -> None:
    """A library whose header names another machine type gives TORCH609."""
    other = {"x86_64": 183, "aarch64": 62}[LocalSystem().kernel()[2]]
    with (torch_folder / "torch" / "lib" / "libtorch_cpu.so").open("r+b") as file:
        file.seek(18)
        file.write(struct.pack("<H", other))
    assert "built for" in damage_seen(torch_folder)


def test_a_command_that_hangs_ends_in_time() -> None:
    """A command is killed with its children when its time is over, and the reason is kept."""
    started = time.perf_counter()
    done = LocalSystem().run(["sh", "-c", "sleep 600 & sleep 600"], timeout_seconds=0.2)
    assert time.perf_counter() - started < 300
    assert done.problem == "no answer within 0.2 s"


def test_a_probe_that_breaks_leaves_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """One broken probe is listed as unread; the others still count."""

    def broken(system: object) -> Python:
        raise RuntimeError("a bug")

    monkeypatch.setitem(PROBES, "python", (broken, Python()))
    facts = collect(RecordedSystem(load_host("cpu-only")))
    assert facts.unread == ("python: RuntimeError: a bug",)
    assert facts.host == collect(RecordedSystem(load_host("cpu-only"))).host


def test_a_probe_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a dead network drive hold a call in the kernel; the others are reported in time."""
    released = threading.Event()

    def stuck(system: object) -> Storage:
        released.wait(600)
        return Storage()

    monkeypatch.setitem(PROBES, "storage", (stuck, Storage()))
    monkeypatch.setattr("env_check.collect.PROBE_SECONDS", 3.0)
    facts = collect(RecordedSystem(load_host("cpu-only")))
    assert not released.is_set()
    assert facts.unread == ("storage: TimeoutError: no answer within 3 s",)
    assert "HOST106" in ids(facts)
    assert facts.host.distribution == "debian"
    released.set()


@pytest.mark.docker
def test_an_engine_without_gpu_runtime_is_named() -> None:
    """A real engine that knows no NVIDIA runtime, on a host with a GPU, gives CTR412."""
    engine = PROBES["engine"][0](LocalSystem())
    assert isinstance(engine.server_version, str), "no Docker engine answers"
    if "nvidia" in engine.runtimes:
        pytest.skip("this engine has a GPU runtime")
    assert ids(replace(HEALTHY, engine=engine)) == ["CTR412"]


@pytest.mark.docker
def test_a_container_with_the_default_shared_memory_is_named(image_name: str) -> None:
    """64 MiB, what an engine gives unasked, is STO801; with --shm-size it is gone."""
    start = ["docker", "run", "--rm", "--network", "none", "-v", f"{ROOT}:/src:ro", "-w", "/src"]
    inside = ["-e", "PYTHONPATH=/src", image_name, "python3", "-m", "env_check", "--json"]

    def found(*options: str) -> list[str]:
        done = subprocess.run([*start, *options, *inside], capture_output=True, text=True)
        return [each["id"] for each in json.loads(done.stdout)["findings"]]

    assert "STO801" in found()
    assert "STO801" not in found("--shm-size=1g")


@pytest.mark.docker
def test_the_engine_s_own_words_are_explained(image_name: str) -> None:
    """What a real engine without GPU runtime says to --gpus is explained as the missing toolkit."""
    done = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", "--gpus", "all", image_name, "true"],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode == 0:
        pytest.skip("this engine can hand on a GPU")
    assert explain_text(done.stderr)[0].cause_id == "container_toolkit_missing"
