"""Real breakage, made here: each is produced for real and must be named."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from env_check.collect import PROBES, collect
from env_check.explain import explain_text
from env_check.facts import Facts, Python, to_json
from env_check.judge import judge
from env_check.probes import network, python, storage
from env_check.system import LocalSystem
from tests.env_check.recorded import RecordedSystem, load_host

HEALTHY = collect(RecordedSystem(load_host("ubuntu-rtx4090")))


def ids(facts: Facts) -> list[str]:
    return [finding.id for finding in judge(facts)]


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


def test_a_refused_token_is_named_and_never_shown(
    hub: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that answers 401 to a token gives NET902, and the token is in no output."""
    monkeypatch.setenv("HF_ENDPOINT", hub[0])
    monkeypatch.setenv("HF_TOKEN", "hf_notARealTokenAtAll")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    system = LocalSystem()
    facts = replace(HEALTHY, network=network.ask(system, network.probe(system), None))
    assert ids(facts) == ["NET902"]
    assert hub[1] == ["Bearer hf_notARealTokenAtAll"]
    assert "notAReal" not in json.dumps(to_json(facts)) + str(judge(facts))


def test_a_redirect_does_not_carry_the_token_away(hub: tuple[str, list[str]]) -> None:
    """A redirect counts as an answer and is not followed."""
    answer = LocalSystem().get(f"{hub[0]}/moved", token="secret")
    assert answer.status == 302
    assert len(hub[1]) == 1


def test_an_unreachable_tracking_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed port gives NET903 at once, a warning: training goes on without MLflow."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    system = LocalSystem()
    asked = network.ask(system, network.probe(system), None)
    assert ids(replace(HEALTHY, network=asked)) == ["NET903"]
    assert asked.tracking_answer == "refused"
    assert "secret" not in json.dumps(to_json(asked))


def test_a_full_disk_is_named(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache on a file system without room gives STO802."""
    monkeypatch.setenv("HF_HUB_CACHE", str(small_disk / "hub"))
    found = storage.probe(LocalSystem())
    full = [each for each in found.folders if each.purpose == "hub cache"]
    kept = replace(HEALTHY.storage, folders=tuple(full))
    assert ids(replace(HEALTHY, storage=kept)) == ["STO802"]


def test_a_read_only_cache_is_named(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache on a read-only file system gives STO804, for root too."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    monkeypatch.setenv("TRAINBOX_CACHE", str(small_disk / "cache"))
    found = storage.probe(LocalSystem())
    closed = [each for each in found.folders if each.purpose == "cache"]
    kept = replace(HEALTHY.storage, folders=tuple(closed))
    assert ids(replace(HEALTHY, storage=kept)) == ["STO804"]


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


def test_a_whole_library_is_fine(library: Path) -> None:
    """A library as it was built has no problem."""
    machine = LocalSystem().kernel()[2]
    assert python.library_problem(LocalSystem(), str(library), machine) == ""


def test_a_cut_off_library_is_named(library: Path) -> None:
    """A library that lost its end is cut off; so is an empty one."""
    machine = LocalSystem().kernel()[2]
    with library.open("r+b") as file:
        file.truncate(library.stat().st_size // 2)
    assert "cut off" in python.library_problem(LocalSystem(), str(library), machine)
    library.write_bytes(b"")
    assert "cut off" in python.library_problem(LocalSystem(), str(library), machine)


def test_a_library_of_another_processor_is_named(library: Path) -> None:
    """A library for another machine type says so."""
    other = "aarch64" if LocalSystem().kernel()[2] == "x86_64" else "x86_64"
    assert "built for" in python.library_problem(LocalSystem(), str(library), other)


def test_a_command_that_hangs_ends_in_time() -> None:
    """A command is killed with its children when its time is over, and the reason is kept."""
    started = time.perf_counter()
    done = LocalSystem().run(["sh", "-c", "sleep 30 & sleep 30"], timeout_seconds=0.2)
    assert time.perf_counter() - started < 3
    assert done.problem == "no answer within 0.2 s"


def test_a_probe_that_breaks_leaves_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """One broken probe is listed as unread; the others still count."""

    def broken(system: object) -> Python:
        raise RuntimeError("a bug")

    monkeypatch.setitem(PROBES, "python", (broken, Python()))
    facts = collect(RecordedSystem(load_host("cpu-only")))
    assert facts.unread == ("python: RuntimeError: a bug",)
    assert facts.host == collect(RecordedSystem(load_host("cpu-only"))).host


@pytest.mark.docker
def test_an_engine_without_gpu_runtime_is_named() -> None:
    """A real engine that knows no NVIDIA runtime, on a host with a GPU, gives CTR412."""
    engine = PROBES["engine"][0](LocalSystem())
    if not isinstance(engine.server_version, str) or "nvidia" in engine.runtimes:
        pytest.skip("needs a Docker engine without GPU runtime")
    assert ids(replace(HEALTHY, engine=engine)) == ["CTR412"]


@pytest.mark.docker
def test_a_container_with_the_default_shared_memory_is_named(image_name: str) -> None:
    """64 MiB, what an engine gives unasked, is STO801; with --shm-size it is gone."""
    root = Path(__file__).parents[2]
    start = ["docker", "run", "--rm", "--network", "none", "-v", f"{root}:/src:ro", "-w", "/src"]
    check = ["-e", "PYTHONPATH=/src", image_name, "python3", "-m", "env_check", "--json"]

    def found(*options: str) -> list[str]:
        done = subprocess.run([*start, *options, *check], capture_output=True, text=True)
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
