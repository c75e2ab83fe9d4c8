"""What WSL costs a run, on recorded machines."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from runner.base_model.folder import ModelFolder
from runner.wsl import wsl_warnings
from tests.env_check.recorded import RecordedSystem, load_host
from tests.runner.plans import tiny_job


def warnings_on(host: dict[str, Any], folder: str = "/home/someone/model") -> list[str]:
    model = ModelFolder(
        folder=Path(folder), public_name="org/tiny", revision=None, config={}, has_weights=True
    )
    job = tiny_job(method="lora", model={"name_or_path": folder})
    return wsl_warnings(job, model, RecordedSystem(host))


def test_a_machine_without_wsl_and_one_in_order_get_no_word() -> None:
    """On Linux nothing is said, and under WSL nothing about the Linux disk."""
    assert warnings_on(load_host("ubuntu-rtx4090")) == []
    assert warnings_on(load_host("wsl-rtx2000ada")) == []


def test_runs_on_a_windows_drive_are_called_slow_with_the_fix() -> None:
    """A run, cache or model under /mnt/c costs many times the time; the Linux home does not."""
    (line,) = warnings_on(load_host("windows-drive"))
    assert "Windows drive" in line and "many times slower" in line and "Linux home" in line


def test_a_model_on_a_windows_drive_is_named() -> None:
    """Also where cache and runs lie well."""
    host = copy.deepcopy(load_host("wsl-rtx2000ada"))
    host["folders"]["/mnt/c/models/tiny"] = ["config.json"]
    (line,) = warnings_on(host, "/mnt/c/models/tiny")
    assert "base model: /mnt/c/models/tiny" in line


def test_a_virtual_machine_with_too_little_memory_leads_to_wslconfig() -> None:
    """WSL takes half of the computer's memory unless told otherwise: the fix is its settings."""
    host = copy.deepcopy(load_host("wsl-rtx2000ada"))
    host["files"]["/proc/meminfo"] = "MemTotal: 409600 kB\nMemAvailable: 204800 kB\n"
    (line,) = warnings_on(host)
    assert "JOB953" in line and ".wslconfig" in line and "wsl --shutdown" in line


def test_wsl_one_is_named() -> None:
    """WSL 1 has neither GPU nor containers."""
    assert any("WSL 1" in line for line in warnings_on(load_host("wsl1")))
