"""DRV: the driver of Windows as WSL hands it on."""

from __future__ import annotations

from typing import Optional

from env_check import remedies
from env_check.facts import Facts
from env_check.findings import Layer
from env_check.remedies import sudo
from env_check.rules.rule import Verdict, fault, rule, warning

WSL_GUIDE = "NVIDIA, CUDA on WSL User Guide"


@rule("DRV220", Layer.DRIVER, source=WSL_GUIDE, cause_id="wsl_driver_installed_inside")
def linux_driver_in_wsl(facts: Facts) -> Optional[Verdict]:
    """A Linux NVIDIA driver is installed inside WSL, where the Windows driver serves."""
    packages, folders = facts.host.linux_driver_packages, facts.gpu.libcuda_folders
    if not facts.host.wsl or not (packages or folders):
        return None
    purge = (
        f"{sudo(facts)}apt-get purge -y {' '.join(packages)}"
        if packages
        else (f"remove libcuda.so* from {', '.join(folders)}")
    )
    return fault(
        "a Linux NVIDIA driver is installed inside WSL",
        evidence=(
            f"packages: {', '.join(packages) or 'none'}",
            f"libcuda outside /usr/lib/wsl/lib: {', '.join(folders) or 'none'}",
        ),
        why="its libcuda shadows the one of Windows; it may work today and fail after an update",
        fix=(purge, f"{sudo(facts)}ldconfig", "wsl --shutdown   (in Windows)"),
        verify="`ldconfig -p | grep libcuda` shows /usr/lib/wsl/lib alone",
    )


@rule("DRV221", Layer.DRIVER, source=WSL_GUIDE, cause_id="wsl_libcuda_not_found")
def wsl_libcuda_not_found(facts: Facts) -> Optional[Verdict]:
    """WSL offers its libcuda and the loader does not find it."""
    gpu = facts.gpu
    if facts.host.wsl != 2 or not gpu.has_wsl_libcuda or gpu.init_code is not None:
        return None
    return fault(
        "the loader does not find the libcuda of WSL",
        evidence=("/usr/lib/wsl/lib/libcuda.so.1: there", "loading libcuda.so.1: failed"),
        why="torch and bitsandbytes load libcuda by name",
        fix=(
            f"echo /usr/lib/wsl/lib | {sudo(facts)}tee /etc/ld.so.conf.d/ld.wsl.conf && "
            f"{sudo(facts)}ldconfig",
            "export LD_LIBRARY_PATH=/usr/lib/wsl/lib:$LD_LIBRARY_PATH   (this shell only)",
        ),
        verify="`ldconfig -p | grep libcuda` shows /usr/lib/wsl/lib/libcuda.so.1",
    )


@rule("DRV222", Layer.DRIVER, source=WSL_GUIDE, cause_id="wsl_gpu_not_exposed")
def wsl_without_gpu(facts: Facts) -> Optional[Verdict]:
    """WSL 2 hands no NVIDIA GPU on: no /dev/dxg, or no libcuda from Windows."""
    if facts.host.wsl != 2 or facts.host.container or facts.gpu.has_wsl_libcuda:
        return None
    has_dxg = "dxg" in facts.gpu.nodes
    return warning(
        "WSL hands on no NVIDIA GPU",
        evidence=(
            f"/dev/dxg: {'there' if has_dxg else 'absent'}",
            "/usr/lib/wsl/lib/libcuda.so.1: absent",
        ),
        why="if this computer has an NVIDIA card, Windows or its driver does not offer it to WSL",
        fix=(remedies.WINDOWS_DRIVER, "wsl --update && wsl --shutdown   (in Windows)"),
        verify="`ls /dev/dxg /usr/lib/wsl/lib/libcuda.so.1` finds both",
    )
