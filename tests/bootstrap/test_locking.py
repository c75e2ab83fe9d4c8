"""How locks follow from their inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.lockfile import Pin
from bootstrap.locking import PYTHONS, inputs_digest, simplify_marker, with_cpu_torch

LINUX = "platform_machine == 'aarch64' or platform_machine == 'x86_64'"


def pin(name: str, version: str = "1", marker: str | None = None, via: str = "torch") -> Pin:
    return Pin(name=name, version=version, marker=marker, hashes=("a" * 64,), via=(via,))


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        (LINUX, None),
        ("sys_platform == 'linux' and python_full_version >= '3.10'", None),
        ("python_full_version < '3.11' and sys_platform == 'linux'", "python_version < '3.11'"),
        (f"({LINUX}) and python_version > '3.11'", "python_version >= '3.12'"),
        ("platform_machine == 'x86_64'", "platform_machine == 'x86_64'"),
        ("python_version == '3.11'", "python_version == '3.11'"),
    ],
)
def test_marker_says_only_what_divides_the_targets(marker: str, expected: str | None) -> None:
    """A marker that holds on every target is dropped; one by version is said shortly."""
    simplified = simplify_marker(pin("numpy", marker=marker), PYTHONS["cli"])
    assert simplified is not None and simplified.marker == expected


def test_pin_for_no_target_is_dropped() -> None:
    """A package for another system is not locked."""
    assert simplify_marker(pin("colorama", marker="sys_platform == 'win32'"), ["3.11"]) is None


def test_cpu_lock_is_the_cuda_lock_with_another_torch() -> None:
    """CUDA's and Liger's packages go, torch's build changes, a direct pin of NVIDIA's stays."""
    cuda = (
        pin("liger-kernel", via="-r locks/cu130.in"),
        pin("nvidia-cublas"),
        pin("nvidia-ml-py", via="-r locks/run.in"),
        replace(pin("torch", "2.13.0"), via=("-r locks/cu130.in", "liger-kernel")),
        pin("triton"),
    )
    built_for_cpu = replace(pin("torch", "2.13.0+cpu"), hashes=("b" * 64,))
    found = {p.name: p for p in with_cpu_torch(cuda, (built_for_cpu,))}
    assert set(found) == {"nvidia-ml-py", "torch"}
    assert found["torch"].version == "2.13.0+cpu" and found["torch"].hashes == ("b" * 64,)
    assert found["torch"].via == ("-r locks/cpu.in",)


def test_digest_covers_included_inputs(tmp_path: Path) -> None:
    """A change in a file that an input includes makes the lock stale."""
    locks = tmp_path / "locks"
    locks.mkdir()
    (locks / "cpu.in").write_text("-r run.in\ntorch==2.13.0+cpu\n")
    (locks / "run.in").write_text("rich==15.0.0\n")
    before = inputs_digest(tmp_path, "cpu")
    (locks / "run.in").write_text("rich==15.0.1\n")
    assert inputs_digest(tmp_path, "cpu") != before
