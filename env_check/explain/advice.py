"""The commands for one cause on one machine: what the tables know fills in the versions."""

from __future__ import annotations

from env_check import support
from env_check.explain.causes import Cause
from env_check.explain.report import Report

# uv knows where PyTorch keeps its builds: `--torch-backend=cu128` needs no address.
INSTALL = "pip install uv && uv pip install"
_NEEDS_A_BUILD = (
    "cpu_only_torch",
    "gpu_arch_not_in_wheel",
    "gpu_arch_dropped",
    "driver_too_old_for_cuda",
)


def fixes_for(cause: Cause, report: Report) -> tuple[str, ...]:
    """Return the cause's commands, with versions where the report names GPU, driver or torch."""
    fixes = list(cause.fix)
    if cause.id in _NEEDS_A_BUILD:
        fixes += _build_commands(cause, report)
    elif cause.id == "torchvision_torchaudio_mismatch":
        fixes += _pair_command(report)
    elif cause.id == "triton_torch_mismatch" and report.torch:
        wanted = support.triton_of(report.torch)
        if wanted:
            fixes.insert(0, f'pip install "triton=={wanted.replace("x", "*")}"')
    elif cause.id == "bnb_missing_cuda_lib" and report.torch_cuda not in ("", "none"):
        releases = support.bnb_releases_with(report.torch_cuda)
        fixes = [f"pip install bitsandbytes=={releases[0]}"] if releases else fixes
    return tuple(fixes)


def _build_commands(cause: Cause, report: Report) -> list[str]:
    """Name a published build that this GPU and driver run; say so where there is none."""
    capability = _capability(report)
    driver = report.driver if cause.id == "driver_too_old_for_cuda" or report.driver else ""
    platform = "wsl" if report.platform in ("wsl", "windows") else "linux"
    if not capability and not driver:
        if cause.id == "gpu_arch_dropped":
            return [_install("2.10.0", "cu126")]
        return [_install("", "cu128")]
    builds = support.builds_for(capability or "8.0", driver, platform, report.machine)
    if not builds and driver:
        builds = support.builds_for(capability or "8.0", "", platform, report.machine)
        if builds:
            floor = support.driver_floor(builds[0].cuda, platform)
            needed = floor.minimum if floor else ""
            return [f"upgrade the driver to {needed} or newer, then: {_install('', builds[0].tag)}"]
    if not builds:
        return [
            f"no published torch wheel has code for compute capability {capability}: "
            "use another GPU, or build torch from source"
        ]
    return [_install(_newest(builds[0].torch), builds[0].tag)]


def _capability(report: Report) -> str:
    found = report.capabilities or tuple(card.capability for card in report.gpus)
    return min(found, key=support.minor) if found else ""


def _newest(line: str) -> str:
    return next(
        row for row in support.torch_releases() if support.minor(row) == support.minor(line)
    )


def _install(torch: str, tag: str) -> str:
    pinned = f"torch=={torch}" if torch else "torch"
    return f"{INSTALL} {pinned} --torch-backend={tag}"


def _pair_command(report: Report) -> list[str]:
    pair = support.companions_of(report.torch) if report.torch else None
    if not pair:
        return []
    tag = report.torch.partition("+")[2]
    audio = f" torchaudio=={pair[1]}" if pair[1] else ""
    packages = f"--no-deps torchvision=={pair[0]}{audio}"
    return [f"{INSTALL} {packages} --torch-backend={tag}" if tag else f"pip install {packages}"]
