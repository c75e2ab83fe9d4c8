"""HOST: the operating system and the machine type."""

from __future__ import annotations

from typing import Optional

from env_check import support
from env_check.facts import Facts
from env_check.findings import Layer
from env_check.inference import has_gpu, torch_version
from env_check.rules.rule import Verdict, fault, rule, unseen, warning

DISCRETE_BYTES = 6 << 30  # graphics inside a processor has less of its own
RENT = "rent a Linux machine with an NVIDIA GPU, or use a Linux or Windows 11 (WSL 2) computer"


@rule("HOST101", Layer.PLATFORM, source="docs: Linux and WSL 2 hosts", cause_id="no_nvidia_gpu")
def other_system(facts: Facts) -> Optional[Verdict]:
    """An operating system that is not Linux: macOS, or Windows without WSL 2."""
    if facts.host.system == "Linux":
        return None
    if facts.host.system == "Darwin":
        what, fix = "macOS has no NVIDIA GPU: training does not run here", RENT
    else:
        what = f"{facts.host.system or 'this system'} itself is not supported, WSL 2 is"
        fix = "wsl --install -d Ubuntu-24.04   (in an administrator's PowerShell), then start there"
    return fault(
        what,
        evidence=f"system: {' '.join((facts.host.system, facts.host.kernel)).strip()}, "
        f"{facts.host.machine}",
        why="the images, the drivers and the 4-bit kernels are those of Linux and CUDA",
        fix=fix,
        verify="`uname -s` prints Linux",
    )


@rule(
    "HOST102",
    Layer.PLATFORM,
    source="NVIDIA, CUDA on WSL User Guide",
    cause_id="wsl_gpu_not_exposed",
)
def wsl_one(facts: Facts) -> Optional[Verdict]:
    """WSL 1, which has no Linux kernel and no GPU."""
    if facts.host.wsl != 1:
        return None
    return fault(
        "this is WSL 1, which cannot use a GPU or run containers",
        evidence=f"kernel: {facts.host.kernel}; no /dev/dxg",
        why="WSL 1 translates system calls; GPU and Docker need the real kernel of WSL 2",
        fix=(
            "wsl --set-version <distribution> 2   (in PowerShell; names: `wsl -l -v`)",
            "wsl --set-default-version 2",
        ),
        verify="`wsl -l -v` prints VERSION 2; `ls /dev/dxg` finds it",
    )


@rule("HOST103", Layer.PLATFORM, source="published wheels of torch 2.0-2.15")
def other_machine(facts: Facts) -> Optional[Verdict]:
    """A processor for which the training stack has no builds."""
    if facts.host.system != "Linux" or facts.host.machine in ("x86_64", "aarch64", ""):
        return None
    return fault(
        f"there are no builds for {facts.host.machine} processors",
        evidence=f"uname -m: {facts.host.machine}",
        why="torch, bitsandbytes and the images exist for x86_64 and aarch64",
        fix=RENT,
        verify="`uname -m` prints x86_64 or aarch64",
    )


@rule(
    "HOST104",
    Layer.PLATFORM,
    source="PEP 600; wheels of torch from 2.6 are manylinux_2_28",
    cause_id="glibc_or_libstdcxx_too_old",
)
def old_glibc(facts: Facts) -> Optional[Verdict]:
    """A C library older than 2.28, or musl: the wheels do not load."""
    glibc = facts.host.glibc
    if facts.image is not None:
        return None  # the image brings its own, which has a rule of its own
    if facts.host.system != "Linux" or (glibc and support.version(glibc) >= (2, 28)):
        return None
    seen = f"glibc {glibc}" if glibc else "no glibc (musl)"
    return warning(
        f"{seen}: the wheels of torch need glibc 2.28 or newer",
        evidence=(f"C library: {seen}", f"system: {facts.host.distribution_name}"),
        why="on the host nothing of the stack can be installed; the container image brings its own",
        fix="train in the container (`--backend docker`), or use Ubuntu 20.04, Debian 10 or newer",
        verify="`ldd --version` prints 2.28 or newer",
    )


@rule("HOST106", Layer.PLATFORM, source="docs: unknown is never ok")
def probe_failed(facts: Facts) -> Optional[Verdict]:
    """A whole probe broke or did not come back: what it would have seen is unknown."""
    if not facts.unread:
        return None
    return unseen(
        "a part of this machine could not be looked at",
        evidence=facts.unread,
        why="a fault there would not be seen, and nothing there counts as fine",
        fix=(
            "df -h   (hangs where a network drive is dead: umount -l it)",
            "please report it with `env-check --markdown`",
        ),
        verify="`env-check --json` has an empty `facts.unread`",
    )


@rule("HOST105", Layer.HARDWARE, source="docs: NVIDIA GPUs", cause_id="no_nvidia_gpu")
def only_amd(facts: Facts) -> Optional[Verdict]:
    """A discrete AMD card and no NVIDIA one, with a ROCm build of torch or without."""
    discrete = [
        card
        for card in facts.gpu.cards
        if card.vendor == "amd" and (card.memory_bytes or 0) >= DISCRETE_BYTES
    ]
    if has_gpu(facts) or not (facts.python.torch_hip or discrete):
        return None
    return warning(
        "the GPU is AMD's: it is not used here, training runs on the CPU",
        evidence=(
            f"PCI: {', '.join('amd ' + card.device_id for card in discrete) or 'no NVIDIA card'}",
            f"torch {torch_version(facts) or 'not installed'}"
            + (f", built for ROCm {facts.python.torch_hip}" if facts.python.torch_hip else ""),
        ),
        why="the images and locks are built for CUDA; no ROCm variant exists",
        fix="rent an NVIDIA GPU for real jobs; demo and tests run on this CPU",
        verify="`lspci | grep -i nvidia` lists a card",
    )
