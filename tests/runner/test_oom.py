"""A kill for want of memory is told from another kill, and from a neighbour's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.oom import OomKills

MINE = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]


def counter(groups: Path, version: int) -> Path:
    """Return where this process's group would count below a folder; make its place."""
    for _, controllers, path in MINE:
        if version == 1 and "memory" in controllers.split(","):
            file = groups / "memory" / path.lstrip("/") / "memory.oom_control"
        elif version == 2 and not controllers:
            file = groups / path.lstrip("/") / "memory.events"
        else:
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        return file
    pytest.skip(f"this machine has no control groups of version {version}")


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_counts_its_own_and_not_its_neighbours(tmp_path: Path, version: int) -> None:
    """The machine's count rises for another container; only the group's own is ours."""
    file, machine = counter(tmp_path, version), tmp_path / "vmstat"
    file.write_text("low 0\noom 1\noom_kill 3\n")
    machine.write_text("nr_free_pages 7\noom_kill 30\n")
    kills = OomKills(os.getpid(), tmp_path, machine)
    machine.write_text("nr_free_pages 7\noom_kill 31\n")
    assert kills.have_risen() is False
    file.write_text("low 0\noom 2\noom_kill 4\n")
    assert kills.have_risen() is True


def test_without_a_group_the_machine_counts(tmp_path: Path) -> None:
    """As in the root group of version 2, which has no such file."""
    machine = tmp_path / "vmstat"
    machine.write_text("oom_kill 0\n")
    kills = OomKills(os.getpid(), tmp_path, machine)
    assert kills.have_risen() is False
    machine.write_text("oom_kill 1\n")
    assert kills.have_risen() is True


def test_a_kernel_that_does_not_say_is_not_guessed_at(tmp_path: Path) -> None:
    """Neither yes nor no; the same for a process that has gone already."""
    assert OomKills(os.getpid(), tmp_path, tmp_path / "absent").have_risen() is None
    assert OomKills(2**22 + 1, tmp_path, tmp_path / "absent").have_risen() is None
