"""Keep `.venv` equal to the locks: create, fill, repair, or see at once that nothing is to do.

A stamp in `.venv` says what was installed; it is marked busy before the first change and clean
after the last, so an interrupted set-up is seen by the next one, which goes on from there. A file
lock beside `.venv`, inherited by venv and pip, lets one set-up work at a time.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bootstrap.choose import DEV_LOCK, choose_known_lock, choose_lock, has_nvidia_gpu
from bootstrap.errors import SetupError
from bootstrap.interpreter import fits
from bootstrap.lockfile import Pin, parse_lock
from bootstrap.pip import Pip
from bootstrap.progress import Progress
from runner.container.available import why_no_image
from runner.container.image import choose_variant

COMMANDS = ("trainbox", "env-check")
OUR_CODE = ("runner", "env_check")
FRESH = 2  # packages in a new virtual environment: pip, and setuptools before Python 3.12
NEEDED_BYTES = {"cpu": 3_000_000_000, "cu130": 9_000_000_000, "cli": 800_000_000}  # measured


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What a set-up has left in `.venv`; written to `.venv/trainbox.json`."""

    root: str  # absolute path of the clone: scripts in a moved environment do not start
    interpreter: str  # real path of the Python it was built from
    digests: Mapping[str, str]  # SHA-256 of each installed lock, by name
    lock: str | None = None  # base lock
    project: str = ""  # SHA-256 of pyproject.toml at the editable install
    packages: tuple[str, ...] = ()  # the dist-info folders left behind
    is_busy: bool = True  # a set-up is changing the environment, or died doing so


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The places of one clone."""

    root: Path

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin/python"

    @property
    def stamp(self) -> Path:
        return self.venv / "trainbox.json"

    @property
    def log(self) -> Path:
        """All that pip and venv said."""
        return self.venv / "setup.log"

    def lock(self, name: str) -> Path:
        return self.root / "locks" / f"{name}.lock"

    def pins(self, name: str) -> tuple[Pin, ...]:
        return parse_lock(self.lock(name).read_text())

    def packages(self) -> tuple[str, ...]:
        """Return the names of the dist-info folders present."""
        found = self.venv.glob("lib/python*/site-packages/*.dist-info")
        return tuple(sorted(path.name for path in found))


def set_up(root: Path, *, with_dev: bool, environ: Mapping[str, str], progress: Progress) -> None:
    """Bring `.venv` to what the locks say; return at once where it already is.

    Args:
        with_dev: include the tools that tests and linters need.
        environ: variables; `TRAINBOX_LOCK` names a lock.

    Raises:
        SetupError: the environment cannot be had.
    """
    environment = Environment(root=root)
    override = environ.get("TRAINBOX_LOCK", "")
    if _is_current(environment, override, with_dev):
        return
    with _only_one(environment, progress) as lock_fd:
        if _is_current(environment, override, with_dev):
            return
        _create(environment, override, lock_fd, progress)
        _fill(environment, override, with_dev, lock_fd, progress)


def _is_current(environment: Environment, override: str, with_dev: bool) -> bool:
    stamp = read_stamp(environment)
    wanted = _known_lock(stamp, override, with_dev)
    if stamp is None or stamp.is_busy or wanted is None:
        return False
    return (
        not _stale_locks(environment, stamp, wanted, with_dev)
        and _is_whole(environment, stamp)
        and stamp.project == _digest(environment.root / "pyproject.toml")
    )


def _known_lock(stamp: Stamp | None, override: str, with_dev: bool) -> str | None:
    return choose_known_lock(
        override=override,
        installed=stamp.lock if stamp else None,
        has_gpu=has_nvidia_gpu(),
        must_train=with_dev,
    )


def _stale_locks(environment: Environment, stamp: Stamp, base: str, with_dev: bool) -> list[str]:
    wanted = [base, DEV_LOCK] if with_dev else [base]
    return [
        name
        for name in wanted
        if stamp.digests.get(name) != _digest(environment.lock(name))
        or (name == base and stamp.lock != base)
    ]


def _is_whole(environment: Environment, stamp: Stamp) -> bool:
    """Tell whether all is still there that the last set-up left: a few file names, no content."""
    return (
        _is_usable(environment, stamp)
        and all((environment.venv / "bin" / command).exists() for command in COMMANDS)
        and set(stamp.packages) <= set(environment.packages())
    )


def _is_usable(environment: Environment, stamp: Stamp) -> bool:
    return (
        stamp.root == str(environment.root)
        and environment.python.exists()
        and stamp.interpreter == os.path.realpath(environment.python)
    )


@contextmanager
def _only_one(environment: Environment, progress: Progress) -> Iterator[int]:
    """Hold the set-up's file lock, waiting for another set-up; yields its descriptor."""
    with open(environment.root / ".venv.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note("another set-up is at work here; waiting for it …")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _create(environment: Environment, override: str, lock_fd: int, progress: Progress) -> None:
    """Leave a virtual environment with a working pip; an unusable one of ours is replaced."""
    stamp = read_stamp(environment)
    if stamp is None and environment.venv.exists() and any(environment.venv.iterdir()):
        raise SetupError(
            id="setup-foreign-venv",
            what="`.venv` exists and was not made by `make setup`",
            where=str(environment.venv),
            why="installing into it could break what it is used for",
            fix="mv .venv .venv-mine && make setup",
        )
    if stamp is not None:
        if _is_usable(environment, stamp) and _has_pip(environment, override):
            return
        progress.note(".venv cannot be used any more (moved, or its Python is gone): built anew")
        _remove(environment)
    base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    progress.start(f"creating .venv with Python {sys.version.split()[0]}")
    environment.venv.mkdir(exist_ok=True)
    write_stamp(environment, Stamp(root=str(environment.root), interpreter=base, digests={}))
    done = subprocess.run(
        [base, "-m", "venv", str(environment.venv)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        pass_fds=(lock_fd,),
    )
    if done.returncode:
        _remove(environment)
        raise _venv_error(done.stdout)
    progress.finish()


def _remove(environment: Environment) -> None:
    """Remove `.venv` so that a kill in between leaves no half of it in its place."""
    aside = environment.root / ".venv.old"
    shutil.rmtree(aside, ignore_errors=True)
    environment.venv.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _has_pip(environment: Environment, override: str) -> bool:
    program = "import pip, sys; print(*sys.version_info[:2])"
    command = [str(environment.python), "-I", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return False
    return fits(tuple(int(word) for word in done.stdout.split()), override)


def _check_room(environment: Environment, lock: str) -> None:
    free = shutil.disk_usage(environment.root).free
    needed = NEEDED_BYTES[lock]
    if free < needed:
        raise SetupError(
            id="setup-disk-full",
            what=f"{free / 1e9:.1f} GB are free, {needed / 1e9:.1f} GB are needed",
            where=str(environment.root),
            why=f"locks/{lock}.lock takes that much while it is installed",
            fix="free some space, then: make setup",
        )


def _venv_error(output: str) -> SetupError:
    version = "{}.{}".format(*sys.version_info[:2])
    sudo = "" if os.geteuid() == 0 else "sudo "
    if "ensurepip" in output or "No module named venv" in output:
        return SetupError(
            id="setup-no-venv",
            what=f"Python {version} here cannot make virtual environments (ensurepip is missing)",
            where=sys.executable,
            why="Debian and Ubuntu keep that part in a package of its own",
            fix=f"{sudo}apt-get install -y python{version}-venv && make setup",
        )
    return SetupError(
        id="setup-venv-failed",
        what=f"python -m venv failed: {output.strip().splitlines()[-1:]}",
        where=sys.executable,
        why="everything is installed into a virtual environment",
        fix="TRAINBOX_PYTHON=/path/to/another/python3.12 make setup",
    )


def _fill(
    environment: Environment, override: str, with_dev: bool, lock_fd: int, progress: Progress
) -> None:
    """Install what is missing or stale; the stamp is busy from the first change to the last."""
    pip = Pip(python=environment.python, log=environment.log, lock_fd=lock_fd)
    stamp = read_stamp(environment)
    assert stamp is not None, "_create leaves a stamp"
    if stamp.is_busy or not _is_whole(environment, stamp):
        stamp = replace(stamp, digests={})
        remove_torn_packages(environment)
    base = choose_lock(
        _known_lock(stamp, override, with_dev),
        must_train=with_dev,
        has_gpu=has_nvidia_gpu(),
        has_containers=lambda: _has_containers(progress),
        offers_cpu_build=lambda: _offers_cpu_build(environment, pip, progress),
    )
    stale = _stale_locks(environment, stamp, base, with_dev)
    write_stamp(environment, replace(stamp, is_busy=True))
    if stale:
        _install(environment, stale, pip, progress)
    pip.install_project(environment.root)
    _compile(environment)
    shutil.rmtree(environment.venv / "tmp", ignore_errors=True)
    finished = replace(
        stamp,
        lock=base,
        digests={**stamp.digests, **{name: _digest(environment.lock(name)) for name in stale}},
        project=_digest(environment.root / "pyproject.toml"),
        packages=environment.packages(),
        is_busy=False,
    )
    write_stamp(environment, finished)
    progress.note("the environment is ready: .venv/bin/trainbox, .venv/bin/env-check")


def _compile(environment: Environment) -> None:
    """Compile our own code, as pip does with packages.

    Else each command does it again, 60 ms, where Python may write no bytecode when it starts
    (PYTHONDONTWRITEBYTECODE, the clone of another user). Where that fails, nothing is lost.
    """
    folders = [str(environment.root / name) for name in OUR_CODE]
    command = [str(environment.python), "-I", "-m", "compileall", "-q", *folders]
    subprocess.run(command, capture_output=True, check=False)


def _has_containers(progress: Progress) -> bool:
    progress.start("looking for a Docker engine that can train")
    reason = why_no_image(choose_variant("cpu"))
    progress.finish(f"none: {reason}" if reason else "found; this environment needs no torch")
    return reason is None


def _offers_cpu_build(environment: Environment, pip: Pip, progress: Progress) -> bool:
    progress.start("looking for a CPU build of torch (no NVIDIA GPU here)")
    (torch,) = (pin for pin in environment.pins("cpu") if pin.name == "torch")
    is_offered = pip.offers(torch.render())
    progress.finish("found" if is_offered else "none in your pip settings; the CUDA build serves")
    return is_offered


def _install(environment: Environment, names: list[str], pip: Pip, progress: Progress) -> None:
    if len(environment.packages()) <= FRESH:
        _check_room(environment, names[0])
    locks = [environment.lock(name) for name in names]
    progress.note("from " + " and ".join(f"locks/{lock.name}" for lock in locks))
    packages = {pin.name for name in names for pin in environment.pins(name)}
    pip.install(locks, total=len(packages), progress=progress)


def remove_torn_packages(environment: Environment) -> None:
    """Forget packages whose files are not all there in full size, so that pip installs them."""
    for site_packages in environment.venv.glob("lib/python*/site-packages"):
        for info in site_packages.glob("*.dist-info"):
            if not _is_complete(site_packages, info):
                shutil.rmtree(info)
        for leftover in site_packages.glob("~*"):  # pip's name for what it was replacing
            shutil.rmtree(leftover)


def _is_complete(site_packages: Path, info: Path) -> bool:
    try:
        rows = list(csv.reader((info / "RECORD").read_text().splitlines()))
        return all(
            (site_packages / name).stat().st_size == int(size)
            for name, _, size in rows
            if size and not name.endswith(".pyc")
        )
    except (OSError, ValueError):
        return False


def read_stamp(environment: Environment) -> Stamp | None:
    """Return the stamp; a torn one reads as a busy set-up of nowhere, none at all as None."""
    try:
        fields = json.loads(environment.stamp.read_text())
        return Stamp(**{**fields, "packages": tuple(fields["packages"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        return Stamp(root="", interpreter="", digests={})


def write_stamp(environment: Environment, stamp: Stamp) -> None:
    """Write the stamp aside and rename it over the old one."""
    aside = environment.stamp.with_suffix(".new")
    aside.write_text(json.dumps(asdict(stamp), indent=1))
    aside.replace(environment.stamp)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
