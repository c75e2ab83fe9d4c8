"""A run that a disk has no room for is refused before it starts, with needed and free."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.disk import Disk, Need, disks_of, needs_of_run, require_room
from runner.errors import PlanError
from tests.runner.plans import tiny_job
from tests.runner.test_requirements import LLAMA_8B

GB = 10**9


def disk(*num_bytes: int, free_bytes: int) -> Disk:
    needs = [Need(purpose="weights", folder=Path("/runs"), num_bytes=each) for each in num_bytes]
    return Disk(needs=tuple(needs), free_bytes=free_bytes)


def test_a_disk_too_small_is_refused_with_needed_free_and_what_to_do() -> None:
    """The message says how much is missing and which folders can go elsewhere."""
    with pytest.raises(PlanError) as refused:
        require_room([disk(3 * GB, 4 * GB, free_bytes=5 * GB)], "jobs/x.yaml")
    error = refused.value
    assert (error.id, error.exit_code, error.where) == ("plan-no-room", 2, "jobs/x.yaml")
    assert "weights 3.0 GB + weights 4.0 GB in /runs: 5.0 GB free" in error.what
    assert error.fix.startswith("free 2.0 GB, set TRAINBOX_RUNS") and "--force" in error.fix


def test_a_disk_with_room_to_the_byte_is_enough() -> None:
    """Only what is missing is refused."""
    require_room([disk(GB, free_bytes=GB), disk(free_bytes=0)], "jobs/x.yaml")


def test_folders_of_one_file_system_are_added_up(tmp_path: Path) -> None:
    """Each alone would fit; a folder that is not there yet counts as its parent."""
    needs = [
        Need(purpose=name, folder=tmp_path / name / "not" / "there", num_bytes=1)
        for name in ("runs", "cache")
    ]
    (found,) = disks_of(needs)
    assert (found.needed_bytes, found.has_room) == (2, True)


def test_another_file_system_has_its_own_room(tmp_path: Path) -> None:
    """/dev/shm is never the disk of the tests' folder."""
    needs = [Need(purpose="x", folder=folder, num_bytes=1) for folder in (tmp_path, Path("/dev"))]
    assert len(disks_of(needs)) == 2


def test_checkpoints_kept_decide_and_those_that_are_there_count() -> None:
    """LoRA of an 8B model: 12 bytes a trained parameter, keep + 2 of them, and the adapter."""
    job = tiny_job(method="lora", checkpoint={"keep": 3})
    (need,) = needs_of_run(job, LLAMA_8B, Path("/runs"))
    (fewer,) = needs_of_run(tiny_job(method="lora", checkpoint={"keep": 2}), LLAMA_8B, Path("/"))
    trained = 41_943_040
    assert need.num_bytes == trained * (12 * 5 + 4)
    assert need.num_bytes - fewer.num_bytes == 12 * trained
    (rest,) = needs_of_run(job, LLAMA_8B, Path("/runs"), present_bytes=36 * trained)
    assert rest.num_bytes == need.num_bytes - 36 * trained


def test_a_model_whose_size_is_not_known_is_not_guessed_at() -> None:
    """Nothing is refused on a guess."""
    assert needs_of_run(tiny_job(), {"model_type": "mamba"}, Path("/runs")) == []
