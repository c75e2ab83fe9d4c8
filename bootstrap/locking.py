"""`make lock`: resolve the inputs in locks/ with uv and write the locks. Needs the dev layer.

cu130.lock is resolved; everything else follows it. cpu.lock is the same set with the CPU build of
torch and without CUDA's packages; the others are resolved under its versions, those of older CUDA
under the ones above torch. So a version above torch is chosen once, and no lock can hold two builds
of torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from bootstrap.errors import SetupError
from bootstrap.lockfile import Pin, parse_lock, render_lock

MACHINES = ("x86_64", "aarch64")
OLDER_CUDA = ("cu128", "cu126")  # x86-64 alone: the index has no CUDA build of theirs for arm64
PYTHONS = {
    "cu130": ["3.11", "3.12"],
    "cu128": ["3.11", "3.12"],
    "cu126": ["3.11", "3.12"],
    "dev": ["3.11", "3.12"],
    "cli": ["3.10", "3.11", "3.12", "3.13"],
    "mlflow": ["3.11", "3.12"],
}
CUDA_PACKAGES = ("cuda-", "nvidia-", "triton")
FOR_CARDS = ("liger-kernel",)  # asked for by name, and of no use without a card


def make_locks(root: Path, *, options: Sequence[str] = ()) -> dict[str, str]:
    """Return the text of every lock, by name; versions already locked are kept where they fit.

    Args:
        options: further options for uv, such as `--upgrade`.

    Raises:
        SetupError: the inputs contradict each other, or no index answers.
    """
    cu130 = resolve(root, "cu130", options=options)
    others = [pin for pin in cu130 if pin.name != "torch"]
    above_torch = [pin for pin in others if pin.is_direct or not _is_of_cuda(pin)]
    pins = {
        "cu130": cu130,
        "cpu": with_cpu_torch(cu130, parse_lock((root / "locks/cpu.in").read_text())),
        **{name: resolve(root, name, under=above_torch, options=options) for name in OLDER_CUDA},
        **{
            name: resolve(root, name, under=others, options=options)
            for name in ("cli", "dev", "mlflow")
        },
    }
    return {
        name: render_lock(found, source=f"{name}.in", inputs=inputs_digest(root, name))
        for name, found in pins.items()
    }


def check_locks(root: Path) -> None:
    """Resolve again and compare with what is on disk.

    Raises:
        SetupError: a lock does not follow from its input.
    """
    made = make_locks(root)
    stale = [name for name, text in made.items() if _lock(root, name).read_text() != text]
    if stale:
        raise SetupError(
            id="setup-lock-stale",
            what=f"{', '.join(f'locks/{name}.lock' for name in stale)} differ from their inputs",
            where="locks/",
            why="what is installed would not be what the inputs ask for",
            fix="make lock",
        )


def write_locks(root: Path, *, options: Sequence[str] = ()) -> list[str]:
    """Write every lock; return the names of those that changed."""
    made = make_locks(root, options=options)
    changed = [
        name
        for name, text in made.items()
        if not _lock(root, name).exists() or _lock(root, name).read_text() != text
    ]
    for name in changed:
        _lock(root, name).write_text(made[name])
    return changed


def resolve(
    root: Path, name: str, *, under: Iterable[Pin] = (), options: Sequence[str] = ()
) -> tuple[Pin, ...]:
    """Return the pins for one input, resolved by uv for Linux and all its Python versions.

    Args:
        under: versions that must be kept (on Python 3.11 and newer; on 3.10 they may not exist).
    """
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        # a marker that does not divide the input's own Pythons sends uv looking at later ones
        marker = " ; python_version >= '3.11'" if "3.10" in PYTHONS[name] else ""
        constraints.write_text("".join(f"{p.name}=={p.version}{marker}\n" for p in under))
        output = Path(folder, f"{name}.lock")
        if _lock(root, name).exists():
            output.write_text(_lock(root, name).read_text())
        _uv(root, name, constraints, output, options)
        pins = parse_lock(output.read_text())
    machines = MACHINES[:1] if name in OLDER_CUDA else MACHINES
    simplified = (simplify_marker(pin, PYTHONS[name], machines) for pin in pins)
    return tuple(pin for pin in simplified if pin)


def _uv(root: Path, name: str, constraints: Path, output: Path, options: Sequence[str]) -> None:
    uv = Path(sys.executable).with_name("uv")  # the locked one, of the dev layer
    # fmt: off
    command = [
        str(uv), "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-build",
        "--fork-strategy", "fewest", "--python-version", PYTHONS[name][0], *options,
        "--constraints", str(constraints), "--output-file", str(output), f"locks/{name}.in",
    ]
    # fmt: on
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(
            id="setup-lock-unsolvable",
            what=f"uv cannot resolve locks/{name}.in: {done.stderr.strip()}",
            where=f"locks/{name}.in",
            why="no set of versions satisfies every package, or no index answers",
            fix="change the pin that uv names above, then: make lock",
        )


def with_cpu_torch(pins: Iterable[Pin], cpu_input: Iterable[Pin]) -> tuple[Pin, ...]:
    """Return the pins of a CUDA lock with the CPU build of torch in place of the CUDA one."""
    (cpu_torch,) = (pin for pin in cpu_input if pin.name == "torch")
    kept = (p for p in pins if p.name not in FOR_CARDS and (p.is_direct or not _is_of_cuda(p)))
    return tuple(
        dataclasses.replace(
            pin,
            version=cpu_torch.version if pin.name == "torch" else pin.version,
            hashes=cpu_torch.hashes if pin.name == "torch" else pin.hashes,
            via=tuple(
                source.replace("cu130.in", "cpu.in")
                for source in pin.via
                if source not in FOR_CARDS
            ),
        )
        for pin in kept
    )


def _is_of_cuda(pin: Pin) -> bool:
    return pin.name.startswith(CUDA_PACKAGES)


def simplify_marker(pin: Pin, pythons: list[str], machines: Sequence[str] = MACHINES) -> Pin | None:
    """Say a marker by Python version alone; drop it, or the pin, where it divides nothing."""
    if pin.marker is None:
        return pin
    held = {machine: _pythons_where(pin.marker, machine, pythons) for machine in machines}
    first, *others = held.values()
    if any(other != first for other in others):
        return pin
    if not first:
        return None
    if first == pythons:
        return dataclasses.replace(pin, marker=None)
    if first == pythons[: len(first)]:
        return dataclasses.replace(pin, marker=f"python_version < '{pythons[len(first)]}'")
    if first == pythons[-len(first) :]:
        return dataclasses.replace(pin, marker=f"python_version >= '{first[0]}'")
    return pin


def _pythons_where(marker: str, machine: str, pythons: list[str]) -> list[str]:
    from packaging.markers import Marker  # only in the dev layer

    target = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "sys_platform": "linux",
    }
    return [
        python
        for python in pythons
        if Marker(marker).evaluate(
            target | {"python_version": python, "python_full_version": f"{python}.0"}
        )
    ]


def inputs_digest(root: Path, name: str) -> str:
    """Return the SHA-256 over an input file and the files it includes."""
    digest = hashlib.sha256()
    pending = [f"{name}.in"]
    while pending:
        text = (root / "locks" / pending.pop(0)).read_text()
        digest.update(text.encode())
        pending += [line[3:].strip() for line in text.splitlines() if line.startswith("-r ")]
    return digest.hexdigest()


def _lock(root: Path, name: str) -> Path:
    return root / "locks" / f"{name}.lock"
