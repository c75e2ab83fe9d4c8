"""The one seam to the machine: run a command, read a file, find a program, get a variable.

Probes see the machine through `System` alone, so a recorded machine can take its place.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Protocol

READ_LIMIT_BYTES = 1 << 20  # no file a probe reads is longer; a wrong one must not fill memory


@dataclass(frozen=True)
class Output:
    """What a command said."""

    exit_code: Optional[int]
    """None where it did not start or did not end."""
    stdout: str = ""
    stderr: str = ""
    problem: str = ""
    """Why there is no exit code: `not found`, `not allowed`, `no answer within 5 s`."""

    @property
    def is_ok(self) -> bool:
        return self.exit_code == 0

    @property
    def text(self) -> str:
        return f"{self.stdout}\n{self.stderr}".strip()

    @property
    def reason(self) -> str:
        """One line on why it failed."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return self.problem or (lines[0] if lines else f"exit code {self.exit_code}")


@dataclass(frozen=True)
class Space:
    """What a file system holds."""

    total_bytes: int
    free_bytes: int
    free_inodes: Optional[int]
    """None where the file system has no fixed number of them."""
    is_read_only: bool
    number: int = 0
    """Equal for two paths on one file system."""


@dataclass(frozen=True)
class Package:
    """One installed Python distribution."""

    name: str
    """Normalised: lower case, hyphens."""
    version: str
    folder: str
    """Where its modules lie."""
    requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class Interpreter:
    """The interpreter that asks."""

    version: str
    executable: str
    is_virtual: bool
    has_headers: bool
    has_ensurepip: bool


@dataclass(frozen=True)
class Answer:
    """What a web server said."""

    status: Optional[int]
    """None where nobody answered."""
    problem: str = ""
    """Why not: refused, no such host, certificate not trusted, no answer within 5 s."""
    date: str = ""
    received: float = 0.0
    """This machine's clock when the answer came, seconds since 1970."""


class System(Protocol):
    """A machine as probes see it. No method raises; absent is None, forbidden is None too."""

    def run(
        self, command: Sequence[str], *, timeout_seconds: float = 5.0, given: bytes = b""
    ) -> Output: ...
    def read(self, path: str) -> Optional[str]: ...
    def read_bytes(self, path: str, num_bytes: int) -> Optional[bytes]: ...
    def size(self, path: str) -> Optional[int]: ...
    def exists(self, path: str) -> bool: ...
    def real_path(self, path: str) -> str: ...
    def list_folder(self, path: str) -> Optional[tuple[str, ...]]: ...
    def can_write(self, path: str) -> bool: ...
    def space(self, path: str) -> Optional[Space]: ...
    def find_program(self, name: str) -> Optional[str]: ...
    def variable(self, name: str) -> Optional[str]: ...
    def packages(self, names: frozenset[str]) -> tuple[Package, ...]: ...
    def python(self) -> Interpreter: ...
    def kernel(self) -> tuple[str, str, str]: ...
    def glibc(self) -> Optional[str]: ...
    def limit(self, name: str) -> Optional[int]: ...
    def user_id(self) -> int: ...
    def home(self) -> str: ...
    def get(self, url: str, *, token: str = "", timeout_seconds: float = 5.0) -> Answer: ...


class LocalSystem:
    """This machine."""

    def run(
        self, command: Sequence[str], *, timeout_seconds: float = 5.0, given: bytes = b""
    ) -> Output:
        """Run a command, with `given` on its standard input; it ends with all its children."""
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE if given else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C", "LANG": "C"},
                start_new_session=True,  # so that its children end with it
            )
        except FileNotFoundError:
            return Output(None, problem="not found")
        except OSError as error:
            return Output(None, problem=(error.strerror or "not allowed").lower())
        try:
            stdout, stderr = process.communicate(given or None, timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            _kill(process)
            return Output(None, problem=f"no answer within {timeout_seconds:g} s")
        return Output(process.returncode, _text(stdout), _text(stderr))

    def read(self, path: str) -> Optional[str]:
        data = self.read_bytes(path, READ_LIMIT_BYTES)
        return None if data is None else _text(data)

    def read_bytes(self, path: str, num_bytes: int) -> Optional[bytes]:
        try:
            with open(path, "rb") as file:
                return file.read(num_bytes)
        except OSError:
            return None

    def size(self, path: str) -> Optional[int]:
        try:
            return os.stat(path).st_size
        except OSError:
            return None

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def real_path(self, path: str) -> str:
        return os.path.realpath(path)

    def list_folder(self, path: str) -> Optional[tuple[str, ...]]:
        try:
            return tuple(sorted(os.listdir(path)))
        except OSError:
            return None

    def can_write(self, path: str) -> bool:
        return os.access(path, os.W_OK)

    def space(self, path: str) -> Optional[Space]:
        try:
            found, number = os.statvfs(path), os.stat(path).st_dev
        except (OSError, AttributeError):  # Windows has no statvfs
            return None
        return Space(
            total_bytes=found.f_blocks * found.f_frsize,
            free_bytes=found.f_bavail * found.f_frsize,
            free_inodes=found.f_favail if found.f_files else None,
            is_read_only=bool(found.f_flag & os.ST_RDONLY),
            number=number,
        )

    def find_program(self, name: str) -> Optional[str]:
        return shutil.which(name)

    def variable(self, name: str) -> Optional[str]:
        return os.environ.get(name)

    def packages(self, names: frozenset[str]) -> tuple[Package, ...]:
        found: dict[str, Package] = {}
        for name, folder, metadata in _metadata_folders(names):
            if name in found:
                continue  # the first on the import path is the one imported
            headers = _headers(metadata)
            version = dict(headers).get("Version", "")
            if version:
                requires = tuple(value for key, value in headers if key == "Requires-Dist")
                found[name] = Package(name, version, folder, requires)
        return tuple(found[name] for name in sorted(found))

    def python(self) -> Interpreter:
        import importlib.util
        import sysconfig

        return Interpreter(
            version=".".join(str(part) for part in sys.version_info[:3]),
            executable=sys.executable or "python3",
            is_virtual=sys.prefix != sys.base_prefix,
            has_headers=os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")),
            has_ensurepip=importlib.util.find_spec("ensurepip") is not None,
        )

    def kernel(self) -> tuple[str, str, str]:
        found = os.uname() if hasattr(os, "uname") else None
        if found is None:  # Windows
            return ("Windows", "", os.environ.get("PROCESSOR_ARCHITECTURE", ""))
        return (found.sysname, found.release, found.machine)

    def glibc(self) -> Optional[str]:
        try:
            text = os.confstr("CS_GNU_LIBC_VERSION")
        except (AttributeError, OSError, ValueError):
            return None
        return text.split()[-1] if text else None

    def limit(self, name: str) -> Optional[int]:
        try:
            import resource

            soft = resource.getrlimit(getattr(resource, name))[0]
        except (ImportError, AttributeError, OSError, ValueError):
            return None
        return None if soft == resource.RLIM_INFINITY else soft

    def user_id(self) -> int:
        return os.getuid() if hasattr(os, "getuid") else -1

    def home(self) -> str:
        return os.path.expanduser("~")

    def get(self, url: str, *, token: str = "", timeout_seconds: float = 5.0) -> Answer:
        import urllib.error  # with ssl and http 30 ms that a plain check does not need
        import urllib.request

        headers = {"User-Agent": "env-check", "Range": "bytes=0-0"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            request = urllib.request.Request(url, headers=headers)
            opener = urllib.request.build_opener(_no_redirect())
            with opener.open(request, timeout=timeout_seconds) as response:
                date = response.headers.get("Date", "")
                return Answer(response.status, date=date, received=time.time())
        except urllib.error.HTTPError as error:
            return Answer(error.code, date=error.headers.get("Date", ""), received=time.time())
        except (OSError, ValueError) as error:
            return Answer(None, problem=_network_problem(error, timeout_seconds))
        except Exception as error:  # http.client has a tree of its own for half answers
            return Answer(None, problem=f"no HTTP: {type(error).__name__}")


def normalised(name: str) -> str:
    """Return the one spelling of a distribution name (PEP 503)."""
    return name.lower().replace("_", "-").replace(".", "-")


def _metadata_folders(names: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (name, folder, metadata file) of the wanted distributions, in import order."""
    for folder in sys.path:
        try:
            entries = sorted(os.listdir(folder or "."))
        except OSError:
            continue
        for entry in entries:
            stem, dot, suffix = entry.rpartition(".")
            if dot and suffix in ("dist-info", "egg-info"):
                name = normalised(stem.split("-")[0])
                if name in names or name.startswith("nvidia-"):
                    file = "METADATA" if suffix == "dist-info" else "PKG-INFO"
                    yield name, folder or ".", os.path.join(folder or ".", entry, file)


def _headers(path: str) -> list[tuple[str, str]]:
    """Return the header lines of a METADATA file; the long description stays unread."""
    found = []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if not line.strip():
                    break
                key, colon, value = line.partition(":")
                if colon:
                    found.append((key, value.strip()))
    except OSError:
        pass  # a half-removed package: as good as absent
    return found


def _no_redirect() -> Any:
    """Return a handler that follows nothing: urllib would send the token along to another host."""
    import urllib.request

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **kwargs: Any) -> None:
            return None

    return NoRedirect()


def _network_problem(error: Exception, timeout_seconds: float) -> str:
    """Return in words why nobody answered."""
    import socket
    import ssl

    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return "certificate not trusted"
    if isinstance(reason, socket.gaierror):
        return "no such host"
    if isinstance(reason, ConnectionRefusedError):
        return "refused"
    if isinstance(reason, (socket.timeout, TimeoutError)):
        return f"no answer within {timeout_seconds:g} s"
    return str(getattr(reason, "strerror", "") or type(reason).__name__).lower()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a command and its children; one stuck in the kernel is left behind."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=0.5)
    except (OSError, AttributeError, subprocess.TimeoutExpired, ValueError):
        pass


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace").replace("\0", "")
