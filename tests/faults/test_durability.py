"""A checkpoint survives a power cut: the order of the system calls, and a stop at every one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked_trainer import ROOT

SEAL = """
import sys
from pathlib import Path
from runner.record.checkpoint import checkpoint_path, prune, seal

checkpoints, step, keep = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def write_aside():
    staging = checkpoints / ".staging" / f"checkpoint-{step}"
    (staging / "sub").mkdir(parents=True)
    for name in ("adapter.bin", "optimizer.pt", "sub/part.bin"):
        (staging / name).write_bytes(bytes([step]) * 5000)
    return staging

def save():
    seal(write_aside(), checkpoint_path(checkpoints, step), facts={"step": step})
    prune(checkpoints, keep)
"""

# Lets a child do the whole save and dies at its n-th file operation, for every n.
DIE_EVERYWHERE = (
    SEAL
    + """
import itertools, os, shutil
from runner.record.checkpoint import clean, newest_valid, sealed_steps
from runner.record.layout import RunDir

WATCHED = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "shutil.rmtree")
whole = checkpoints

for number in itertools.count(1):
    checkpoints = whole.parent / f"run-{number}" / "checkpoints"
    shutil.copytree(whole, checkpoints)
    child = os.fork()
    if child == 0:
        left = number

        def die(event, arguments):
            global left
            if event in WATCHED:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), 9)

        sys.addaudithook(die)
        save()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found, skipped = newest_valid(checkpoints)
    assert found is not None and found.name in ("step-4", "step-6"), (number, found)
    assert skipped == [], (number, skipped)
    assert len(sealed_steps(checkpoints)) >= 2, number
    clean(RunDir(checkpoints.parent))
    save()
    assert [path.name for path in sealed_steps(checkpoints)] == ["step-6", "step-4"], number
    assert not [path for path in checkpoints.iterdir() if path.name.startswith(".trash")]
    if status == 0:
        print(number - 1)
        break
"""
)


def python(code: str, *arguments: object, before: tuple[str, ...] = ()) -> str:
    """Run code in an interpreter of its own and return what it prints."""
    command = [*before, sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """A folder with checkpoints of steps 2 and 4."""
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for step in (2, 4):
        python(SEAL + "save()", folder, step, 2)
    return folder


def test_death_at_any_file_operation_leaves_a_whole_checkpoint(checkpoints: Path) -> None:
    """At every operation of a save and of the deletion of the oldest: the old or the new is whole.

    Nothing damaged is ever seen under its name, and the next attempt cleans up and saves.
    """
    num_operations = int(python(DIE_EVERYWHERE, checkpoints, 6, 2))
    assert num_operations > 30


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace (apt-get install strace)")
def test_system_calls_are_in_the_order_that_survives_a_power_cut(
    checkpoints: Path, tmp_path: Path
) -> None:
    """fsync of every file and folder < rename < fsync of the folder above."""
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2"
    before = ("strace", "-f", "-y", "-s", "4096", "-e", calls, "-o", str(trace))
    python(SEAL + "save()", checkpoints, 6, 3, before=before)
    synced: list[str] = []
    renamed_at = None
    for line in trace.read_text().splitlines():
        if found := re.search(r"f(?:data)?sync\(\d+<(.+)>\)\s+= 0", line):
            synced.append(found[1])
        elif "rename" in line and str(checkpoints / "step-6") in line and line.endswith("= 0"):
            assert renamed_at is None
            renamed_at = len(synced)
    assert renamed_at is not None
    staging = checkpoints / ".staging" / "checkpoint-6"
    sealed = checkpoints / "step-6"
    contents = {str(staging / path.relative_to(sealed)) for path in sealed.rglob("*")}
    assert len(contents) == 5  # three files, their folder, the manifest
    assert contents | {str(staging)} <= set(synced[:renamed_at])
    assert synced[renamed_at:] == [str(checkpoints)]
