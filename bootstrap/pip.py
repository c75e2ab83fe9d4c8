"""Run pip in the environment: follow what it does, and say in plain words why it failed.

pip, and not a faster installer, because it reads the index, proxy and certificates that the user
has configured for pip; hashes are always required and nothing is ever built from source.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bootstrap.errors import SetupError
from bootstrap.progress import Progress, megabytes

POLL_SECONDS = 0.3
# fmt: off
INSTALL = (
    "install", "--no-user", "--no-input", "--no-deps", "--require-hashes",
    "--only-binary", ":all:", "--progress-bar", "off",
)
# compat: a plain path in site-packages; the default's import hook costs every Python start 9 ms.
INSTALL_PROJECT = (
    "install", "--no-user", "--no-input", "--no-deps", "--no-index", "--no-build-isolation",
    "--config-settings", "editable_mode=compat",
)
# fmt: on
NEW_FILE = re.compile(r"(?:Downloading|Using cached|Processing) (?P<path>\S+\.whl)(?:\s|$)")
INSTALLING = re.compile(r"Installing collected packages: (?P<names>.*)")
RETRYING = re.compile(r"Retrying \(Retry\(total=(?P<left>\d+)")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How one cause shows in pip's output, and what to tell the user about it."""

    pattern: str
    id: str
    what: str  # may name groups of the pattern
    why: str
    fix: str


FAILURES = (  # the first that is found decides
    Failure(
        pattern=r"No space left on device|Disk quota exceeded",
        id="setup-disk-full",
        what="the disk is full",
        why="the packages of the lock need more room than is left",
        fix="free some space (pip's own cache: pip cache purge), then: make setup",
    ),
    Failure(
        pattern=r"DO NOT MATCH THE HASHES[^\n]*\n\s*(?P<package>\S+)",
        id="setup-hash-mismatch",
        what="the file downloaded for {package} is not the one that was locked",
        why="a mirror, a proxy or a broken cache has changed it; it was not installed",
        fix="pip cache purge && make setup",
    ),
    Failure(
        pattern=r"CERTIFICATE_VERIFY_FAILED|SSLError",
        id="setup-certificate",
        what="the package index's certificate is not trusted",
        why="a proxy in between signs with an authority that pip does not know",
        fix="PIP_CERT=/path/to/your-ca.pem make setup",
    ),
    Failure(
        pattern=r"Retry\(total=0|Max retries exceeded|ReadTimeoutError|IncompleteRead",
        id="setup-no-index",
        what="the package index does not answer",
        why="the locked packages are downloaded through your own pip settings",
        fix="check the network (HTTPS_PROXY, `pip config list`), then: make setup",
    ),
    Failure(
        pattern=r"No matching distribution found for (?P<package>\S+)",
        id="setup-no-package",
        what="the package index does not offer {package} for this Python and processor",
        why="only the exact files of the lock are installed, and nothing is built from source",
        fix="use an index that has all of PyPI: PIP_INDEX_URL=… make setup",
    ),
    Failure(
        pattern=r"Permission denied|Read-only file system",
        id="setup-not-writable",
        what="`.venv` cannot be written",
        why="the environment lives inside the clone",
        fix='a clone of your own; or, where it is yours: sudo chown -R "$USER" . && make setup',
    ),
)


@dataclass(frozen=True, kw_only=True)
class Pip:
    """The pip of one environment."""

    python: Path  # the environment's interpreter
    log: Path  # all that pip prints is appended here
    lock_fd: int  # file lock that pip inherits, so that it is held as long as pip lives

    def install(self, locks: Sequence[Path], *, total: int, progress: Progress) -> None:
        """Install lock files by hash, nothing but their exact files.

        Args:
            total: packages expected, for the progress line.

        Raises:
            SetupError: pip failed; the text says why.
        """
        watch = _Watch(self.log.parent, total)
        progress.start(f"installing {total} packages")
        code, output = self.run(
            [*INSTALL, *(word for lock in locks for word in ("-r", str(lock)))],
            on_line=watch.read,
            on_tick=lambda: progress.update(watch.describe()),
        )
        if code:
            raise explain(output, self.log)
        progress.finish(f"done, {megabytes(watch.num_bytes_read)} fetched")

    def install_project(self, root: Path) -> None:
        """Install trainbox itself editable: no network, and no build environment of its own.

        Raises:
            SetupError: pip failed.
        """
        code, output = self.run([*INSTALL_PROJECT, "--editable", str(root)])
        if code:
            raise explain(output, self.log)

    def offers(self, requirement: str) -> bool:
        """Tell whether the user's pip settings lead to a file with one of these hashes."""
        wanted = self.log.with_name("wanted.txt")
        wanted.write_text(requirement)
        options = ("--dry-run", "--ignore-installed", "--retries", "1")
        code, _ = self.run([*INSTALL, *options, "-r", str(wanted)])
        wanted.unlink()
        return code == 0

    def run(
        self,
        arguments: Sequence[str],
        *,
        on_line: Callable[[str], None] = lambda line: None,
        on_tick: Callable[[], None] = lambda: None,
    ) -> tuple[int, str]:
        """Run pip to its end; return its exit code and all it printed."""
        temporary = self.log.with_name("tmp")  # on the environment's disk: /tmp is often too small
        temporary.mkdir(exist_ok=True)
        process = subprocess.Popen(
            [str(self.python), "-I", "-m", "pip", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "TMPDIR": str(temporary), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            pass_fds=(self.lock_fd,),
        )
        lines: list[str] = []

        def collect() -> None:
            assert process.stdout is not None
            with process.stdout as pipe, self.log.open("a") as file:
                for line in pipe:
                    lines.append(line)
                    file.write(line)
                    on_line(line)

        reader = threading.Thread(target=collect)
        reader.start()
        try:
            while reader.is_alive():
                on_tick()
                reader.join(POLL_SECONDS)
            return process.wait(), "".join(lines)
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise


class _Watch:
    """What pip's lines and its files on disk say about how far it is."""

    def __init__(self, venv: Path, total: int) -> None:
        self._venv = venv
        self._total = total
        self._num_files = 0
        self._file = ""
        self._trouble = ""
        self._installing = 0
        self._before = 0
        self.num_bytes_read = 0

    def read(self, line: str) -> None:
        if found := NEW_FILE.search(line):
            self._num_files += 1
            self._file = "-".join(found["path"].split("/")[-1].split("-")[:2])
            self._trouble = ""
        elif found := RETRYING.search(line):
            self._trouble = f", no answer, tries left: {found['left']}"
        elif found := INSTALLING.match(line):
            self._installing = found["names"].count(",") + 1
            self._before = self._num_installed()

    def describe(self) -> str:
        if self._installing:
            done = min(self._num_installed() - self._before, self._installing)
            return f"unpacking {done} of {self._installing}"
        self.num_bytes_read = max(self.num_bytes_read, _size(self._venv / "tmp"))
        if not self._num_files:
            return f"asking the index{self._trouble}"
        size = megabytes(self.num_bytes_read)
        return f"{self._num_files} of {self._total}, {size}, {self._file}{self._trouble}"

    def _num_installed(self) -> int:
        return sum(1 for _ in self._venv.glob("lib/python*/site-packages/*.dist-info"))


def explain(output: str, log: Path) -> SetupError:
    """Return the error for what pip printed."""
    for failure in FAILURES:
        if found := re.search(failure.pattern, output):
            return SetupError(
                id=failure.id,
                what=failure.what.format(**found.groupdict()),
                where=str(log),
                why=failure.why,
                fix=failure.fix,
            )
    errors = re.findall(r"(?m)^ERROR: (.*)$", output) or output.strip().splitlines()[-1:]
    return SetupError(
        id="setup-pip-failed",
        what=f"pip failed: {errors[-1] if errors else 'it was ended from outside'}",
        where=str(log),
        why="the environment is not complete; nothing starts from a part of it",
        fix="make setup",
    )


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder that another process is writing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                continue
    return total
