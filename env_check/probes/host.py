"""Operating system, machine type, WSL, containers, rented machines, Secure Boot."""

from __future__ import annotations

from typing import Optional

from env_check.facts import Host, Known, Unknown
from env_check.system import System

EFI_VARIABLES = "/sys/firmware/efi/efivars"

# Variables that the services set in their machines. Source: RunPod and Vast.ai documentation.
SERVICES = (("RUNPOD_POD_ID", "runpod"), ("VAST_CONTAINERLABEL", "vast"))


def probe(system: System) -> Host:
    """Return what this machine is, from files and variables alone."""
    name, kernel, machine = system.kernel()
    release = os_release(system)
    wsl = wsl_version(system, kernel)
    return Host(
        system=name,
        kernel=kernel,
        machine={"arm64": "aarch64", "AMD64": "x86_64"}.get(machine, machine),
        distribution=release.get("ID", ""),
        distribution_like=release.get("ID_LIKE", ""),
        distribution_name=release.get("PRETTY_NAME", ""),
        glibc=system.glibc(),
        wsl=wsl,
        container=container(system),
        service=service(system),
        is_root=system.user_id() == 0,
        secure_boot=secure_boot(system),
        linux_driver_packages=linux_driver_packages(system) if wsl else (),
    )


def os_release(system: System) -> dict[str, str]:
    """Return the pairs of os-release."""
    text = system.read("/etc/os-release") or system.read("/usr/lib/os-release") or ""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


def wsl_version(system: System, kernel: str) -> int:
    """Return 0, 1 or 2; WSL 2 is a real kernel that names itself so."""
    text = f"{kernel} {system.read('/proc/version') or ''}".lower()
    if "microsoft" not in text:
        return 0
    return 2 if "wsl2" in text or system.exists("/dev/dxg") else 1


def container(system: System) -> str:
    """Return what kind of container this runs in, empty for none seen."""
    if system.variable("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if system.exists("/run/.containerenv"):
        return "podman"
    if system.exists("/.dockerenv"):
        return "docker"
    groups = f"{system.read('/proc/1/cgroup') or ''}{system.read('/proc/self/cgroup') or ''}"
    for word in ("kubepods", "docker", "libpod", "lxc", "containerd"):
        if word in groups:
            return {"kubepods": "kubernetes", "libpod": "podman"}.get(word, word)
    return system.variable("container") or ""


def service(system: System) -> str:
    """Return the rental service whose marks are on this machine."""
    for variable, name in SERVICES:
        if system.variable(variable):
            return name
    return ""


def secure_boot(system: System) -> Known[bool]:
    """Return whether the firmware refuses unsigned modules: the last byte of its variable."""
    entries = system.list_folder(EFI_VARIABLES)
    if entries is None:
        return False  # no EFI, or inside a container or WSL, where it plays no part
    name = next((each for each in entries if each.startswith("SecureBoot-")), None)
    if name is None:
        return False
    data: Optional[bytes] = system.read_bytes(f"{EFI_VARIABLES}/{name}", 16)
    return data[-1] == 1 if data else Unknown("the firmware variable is not readable")


def linux_driver_packages(system: System) -> tuple[str, ...]:
    """Return installed Debian packages of the Linux driver; they do harm under WSL."""
    done = system.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\\n",
         "nvidia-driver-*", "libnvidia-compute-*", "nvidia-utils-*", "nvidia-kernel-*"],
        timeout_seconds=2,
    )  # fmt: skip
    lines = (line.split() for line in done.stdout.splitlines())
    return tuple(sorted({words[-1] for words in lines if len(words) > 1 and words[0] == "ii"}))
