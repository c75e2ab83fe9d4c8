"""The environment is made once, seen to be whole, and mended: with the real venv and pip."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.environment import read_stamp, write_stamp
from bootstrap.errors import SetupError
from tests.bootstrap.clone import Clone

RUN = "import sys; from tests.bootstrap.clone import Clone; Clone.at(sys.argv[1]).set_up()"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    clone = Clone(tmp_path_factory.mktemp("shared"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in clone.pip_settings().items():
            patch.setenv(name, value)
        patch.setattr("bootstrap.choose.GPU_MARKS", ())
        patch.setenv("DOCKER_HOST", "unix:///nonexistent")
        yield clone


@pytest.fixture
def whole(shared: Clone) -> Clone:
    """A clone whose environment is whole; each test may damage it."""
    shared.set_up()
    return shared


def test_fresh_clone_gets_the_cpu_lock_and_both_commands(whole: Clone) -> None:
    """A set-up without a GPU installs the CPU build that pip offers, and our two commands."""
    assert (whole.site_packages / "torch-2.13.0+cpu.dist-info").is_dir()
    assert (whole.environment.venv / "bin/trainbox").exists()
    assert (whole.environment.venv / "bin/env-check").exists()


def test_our_own_code_is_compiled(whole: Clone) -> None:
    """The first command starts as fast as every later one, also where none may write bytecode."""
    assert list((whole.root / "runner/__pycache__").glob("cli.*.pyc"))


def test_second_run_does_and_says_nothing(whole: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is to do, no program is started: it takes well under a second."""
    before = whole.environment.stamp.stat().st_mtime_ns
    monkeypatch.setattr(subprocess, "Popen", None)
    assert whole.set_up() == ""
    assert whole.environment.stamp.stat().st_mtime_ns == before


def test_dev_layer_is_added_to_the_same_environment(whole: Clone) -> None:
    """`make test` after `make train` installs only what is missing."""
    seen = whole.set_up(with_dev=True)
    assert "from locks/dev.lock\ninstalling 1 packages" in seen
    assert whole.set_up(with_dev=True) == "" == whole.set_up()


def test_changed_lock_is_installed(whole: Clone) -> None:
    """A new version in the lock replaces the old one."""
    whole.lock("cpu", {"torch": "2.13.0+cpu", "alpha": "1.1"})
    whole.set_up()
    assert (whole.site_packages / "alpha.py").read_text() == "version = '1.1'\n"
    whole.lock("cpu", {"torch": "2.13.0+cpu", "alpha": "1.0"})


def test_package_removed_by_hand_comes_back(whole: Clone) -> None:
    """An environment that somebody changed is brought back to its lock."""
    shutil.rmtree(whole.site_packages / "alpha-1.0.dist-info")
    whole.set_up()
    assert (whole.site_packages / "alpha-1.0.dist-info").is_dir()


@pytest.mark.parametrize("content", [None, "versi"])
def test_torn_package_is_mended_after_an_interrupted_set_up(
    whole: Clone, content: str | None
) -> None:
    """A file that is missing or cut is found by the next set-up if the last one did not end."""
    stamp = read_stamp(whole.environment)
    assert stamp is not None
    write_stamp(whole.environment, replace(stamp, is_busy=True))
    file = whole.site_packages / "alpha.py"
    file.unlink() if content is None else file.write_text(content)
    whole.set_up()
    assert file.read_text() == "version = '1.0'\n"


def test_torn_stamp_builds_anew(whole: Clone) -> None:
    """A stamp that cannot be read proves nothing: the environment is made again."""
    whole.environment.stamp.write_text('{"root": "')
    assert "built anew" in whole.set_up()
    assert whole.set_up() == ""


def test_other_lock_is_installed_on_request(whole: Clone) -> None:
    """TRAINBOX_LOCK switches the build of torch, though pip finds both, and the choice is kept."""
    whole.set_up(lock="cu130")
    assert (whole.site_packages / "torch-2.13.0.dist-info").is_dir()
    assert whole.set_up() == ""
    whole.set_up(lock="cpu")


def test_cuda_build_serves_where_no_cpu_build_is_offered(whole: Clone) -> None:
    """Without a CPU build in the user's pip settings the CUDA lock is taken, and said so."""
    whole.set_up(lock="cli")
    offered = next(whole.wheels.glob("torch-2.13.0+cpu-*"))
    kept = offered.read_bytes()
    offered.unlink()
    try:
        assert "none in your pip settings" in whole.set_up(with_dev=True)
        assert (whole.site_packages / "torch-2.13.0.dist-info").is_dir()
    finally:
        offered.write_bytes(kept)
        whole.set_up(lock="cpu")


def test_host_of_containers_gets_no_torch(
    tmp_path: Path, whole: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an engine can train the environment stays thin; tests bring torch into it."""
    monkeypatch.setattr("bootstrap.environment.why_no_image", lambda variant: None)
    clone = Clone(tmp_path)
    monkeypatch.setenv("PIP_FIND_LINKS", str(clone.wheels))
    assert "this environment needs no torch" in clone.set_up()
    assert not list(clone.site_packages.glob("torch*"))
    assert clone.set_up() == ""
    clone.set_up(with_dev=True)
    assert list(clone.site_packages.glob("torch*"))


def test_changed_file_is_not_installed(whole: Clone) -> None:
    """A wheel that is not the locked one is refused by hash, and the next set-up goes on."""
    whole.lock("dev", {"checker": "2.0"})
    wheel = whole.wheels / "checker-2.0-py3-none-any.whl"
    kept = wheel.read_bytes()
    wheel.write_bytes(kept + b"\0")
    with pytest.raises(SetupError, match=r"downloaded for checker==2\.0 is not the one"):
        whole.set_up(with_dev=True)
    wheel.write_bytes(kept)
    whole.set_up(with_dev=True)
    assert (whole.site_packages / "checker-2.0.dist-info").is_dir()


def test_dead_index_is_named(whole: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package index that does not answer is said to be that, not a missing package."""
    whole.lock("dev", {"checker": "3.0"})
    (whole.wheels / "checker-3.0-py3-none-any.whl").unlink()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(SetupError) as caught:
        whole.set_up(with_dev=True)
    assert caught.value.id == "setup-no-index"
    whole.lock("dev", {"checker": "1.0"})


def test_foreign_environment_is_left_alone(tmp_path: Path) -> None:
    """A `.venv` that somebody else made is neither filled nor removed."""
    clone = Clone(tmp_path)
    mine = clone.environment.venv / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("keep")
    with pytest.raises(SetupError, match="was not made by `make setup`"):
        clone.set_up()
    assert mine.read_text() == "keep"


def test_full_disk_is_refused_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Clone
) -> None:
    """What cannot fit is refused with the numbers, before gigabytes are fetched."""
    monkeypatch.setattr("bootstrap.environment.NEEDED_BYTES", {"cli": 10**18})
    with pytest.raises(SetupError, match=r"GB are free, 1000000000\.0 GB are needed"):
        Clone(tmp_path).set_up(lock="cli")


def test_two_at_once_do_the_work_once(whole: Clone) -> None:
    """Two set-ups at the same time both succeed; the second finds the work done."""
    whole.lock("cpu", {"torch": "2.13.0+cpu", "alpha": "1.2"})
    both = [start(whole) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert whole.environment.log.read_text().count("Successfully installed alpha-1.2") == 1
    assert whole.set_up() == ""


def test_moved_clone_builds_anew(whole: Clone) -> None:
    """Scripts hold absolute paths, so an environment that was moved is replaced."""
    moved = Clone.at(whole.root.with_name("moved"))
    whole.root.rename(moved.root)
    try:
        assert "built anew" in moved.set_up()
    finally:
        moved.root.rename(whole.root)


def test_killed_set_up_is_continued(shared: Clone) -> None:
    """After SIGKILL the next set-up waits for the orphaned pip, then makes the rest."""
    shutil.rmtree(shared.environment.venv)
    process = start(shared)
    while "locks/cpu.lock" not in read(shared.environment.log):
        assert process.poll() is None or "locks/cpu.lock" in read(shared.environment.log)
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    shared.set_up()
    assert shared.set_up() == ""
    assert (shared.site_packages / "alpha.py").exists()


def start(clone: Clone) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(clone.root)],
        cwd=Path(__file__).parents[2],
        env=dict(os.environ),
    )


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
