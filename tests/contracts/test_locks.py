"""The locks: exact, hashed, of one torch each, free of addresses, and in step with their inputs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bootstrap.lockfile import Pin, inputs_of, parse_lock
from bootstrap.locking import inputs_digest

ROOT = Path(__file__).parents[2]
TRAINING = {"cpu": "2.13.0+cpu", "cu130": "2.13.0", "cu128": "2.10.0", "cu126": "2.7.1"}
NAMES = (*TRAINING, "cli", "dev", "mlflow")


def text_of(name: str) -> str:
    return (ROOT / "locks" / f"{name}.lock").read_text()


def pins_of(name: str) -> tuple[Pin, ...]:
    return parse_lock(text_of(name))


def versions_of(name: str) -> dict[str, str]:
    """Return the versions that Python 3.11 and newer get."""
    return {
        pin.name: pin.version for pin in pins_of(name) if pin.marker != "python_version < '3.11'"
    }


@pytest.mark.parametrize("name", NAMES)
def test_lock_follows_from_its_input(name: str) -> None:
    """A lock was made from the inputs as they are now; `make lock` brings it back in step."""
    assert inputs_of(text_of(name)) == inputs_digest(ROOT, name)


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_a_pin_its_hashes_or_a_comment(name: str) -> None:
    """Nothing but exact versions and hashes: no option, no URL, no unpinned requirement."""
    allowed = re.compile(
        r"[a-z0-9.-]+===?[^\s]+( ; python_version (<|>=) '3\.1\d')? \\"
        r"|    --hash=sha256:[0-9a-f]{64}( \\)?|    # via .+|# .+"
    )
    assert [line for line in text_of(name).splitlines() if not allowed.fullmatch(line)] == []


@pytest.mark.parametrize("name", NAMES)
def test_lock_names_no_index_and_no_path(name: str) -> None:
    """Where packages come from is the user's own pip setting, and a lock tells no machine."""
    assert not re.search(r"://|index|find-links|/home/|/root/|/tmp/|/opt/", text_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_pin_has_hashes(name: str) -> None:
    """pip runs with --require-hashes: a pin without one could not be installed."""
    assert [pin.name for pin in pins_of(name) if not pin.hashes] == []


@pytest.mark.parametrize("name", NAMES)
def test_lock_holds_one_build_of_torch(name: str) -> None:
    """No lock mixes torch's CPU and CUDA builds, and the thin locks hold none."""
    found = [pin.version for pin in pins_of(name) if pin.name == "torch"]
    assert found == ([TRAINING[name]] if name in TRAINING else [])


@pytest.mark.parametrize("name", TRAINING)
def test_torch_is_pinned_to_its_build(name: str) -> None:
    """`==` would let pip take the CPU build for the CUDA one; `===` is literal."""
    assert f"\ntorch==={TRAINING[name]} \\\n" in text_of(name)


def test_cpu_torch_has_a_wheel_for_each_python_and_processor() -> None:
    """The CPU build is locked for Python 3.11 and 3.12 on x86-64 and arm64."""
    (torch,) = (pin for pin in pins_of("cpu") if pin.name == "torch")
    (wanted,) = (p for p in parse_lock((ROOT / "locks/cpu.in").read_text()) if p.name == "torch")
    assert torch.hashes == wanted.hashes and len(torch.hashes) == 4


@pytest.mark.parametrize("name", ["cu130", "cu128", "cu126"])
def test_cpu_and_cuda_agree_above_torch(name: str) -> None:
    """The training locks differ in torch and CUDA's packages, and in nothing else."""
    cpu, cuda = versions_of("cpu"), versions_of(name)
    extra = {name for name in cuda if name not in cpu}
    of_cards = ("nvidia-", "cuda-", "liger-kernel", "triton")
    assert all(name.startswith(of_cards) for name in extra) and extra
    assert {**cuda, "torch": ""} == {**cpu, **{name: cuda[name] for name in extra}, "torch": ""}


@pytest.mark.parametrize("name", ["cli", "dev", "mlflow"])
def test_other_locks_agree_with_the_training_locks(name: str) -> None:
    """A package in two locks has one version: layers do not move each other's packages."""
    training = versions_of("cu130")
    assert {
        n: (v, training[n]) for n, v in versions_of(name).items() if training.get(n, v) != v
    } == {}


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_pinned_and_locked(name: str) -> None:
    """Every requirement of an input stands in the lock with the same version."""
    wanted = parse_lock((ROOT / "locks" / f"{name}.in").read_text())
    locked = {(pin.name, pin.version) for pin in pins_of(name)}
    assert wanted and {(pin.name, pin.version) for pin in wanted} <= locked
