"""The step that installs the system's packages: nothing where all are there, dated where asked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "image/system-packages"
LIST = Path("/tmp/snapshot.list")
# Ends the script at its first call: what follows an installation cleans the system it runs on.
APT = f'#!/bin/sh\necho "$@" >&2\n[ ! -f {LIST} ] || cat {LIST} >&2\nexit 9\n'


def install(folder: Path, present: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the script with an `apt-get` that only says what it is asked."""
    for name, text in (("apt-get", APT), ("dpkg-query", f"#!/bin/sh\necho {present}\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    try:
        return subprocess.run(
            ["sh", SCRIPT, "gcc"],
            env={"PATH": f"{folder}:{os.environ['PATH']}", **environ},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        LIST.unlink(missing_ok=True)


def test_a_base_that_has_them_all_needs_no_archive(tmp_path: Path) -> None:
    """A machine without a mirror builds on a base that holds the packages."""
    done = install(tmp_path, "installed")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_archive_that_does_not_answer_ends_the_build(tmp_path: Path) -> None:
    """apt warns and goes on with old lists; here it is told not to."""
    done = install(tmp_path, "not-installed")
    assert done.returncode == 9 and "Error-Mode=any" in done.stderr
    assert "sourcelist" not in done.stderr


def test_a_day_is_asked_of_the_snapshot_archive(tmp_path: Path) -> None:
    """Release, updates and security fixes are those of the day, and no other archive is asked."""
    if not any(f"ID={name}\n" in Path("/etc/os-release").read_text() for name in
               ("debian", "ubuntu")):  # fmt: skip
        pytest.skip("neither Debian nor Ubuntu: the script refuses a date")
    day = "20261101T000000Z"
    done = install(tmp_path, "not-installed", SNAPSHOT=day)
    lines = [line for line in done.stderr.splitlines() if line.startswith("deb ")]
    assert len(lines) == 3 and all(f"/{day} " in line for line in lines)
    assert "Dir::Etc::sourceparts=/dev/null" in done.stderr
