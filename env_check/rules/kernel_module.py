"""DRV: the kernel module: installed, built, loaded, and fit for the card."""

from __future__ import annotations

from typing import Optional

from env_check import remedies, support
from env_check.choose import choose
from env_check.facts import Facts, Unknown, known
from env_check.findings import Layer
from env_check.inference import (
    OLDEST_CAPABILITY,
    card_names,
    chips,
    driver,
    dropped_chip,
    nvidia_cards,
)
from env_check.remedies import sudo
from env_check.rules.rule import Verdict, fault, rule

GUIDE = "NVIDIA Driver Installation Guide"
NOT_LOADED = "driver_missing_or_not_loaded"
NO_GPU = "without the kernel module no program can reach the card"
SMI_LISTS = "`nvidia-smi` lists the card"


def _is_unloaded(facts: Facts) -> bool:
    """Tell whether a card is on the bus and no NVIDIA module runs it."""
    return bool(nvidia_cards(facts)) and not facts.gpu.module_version and not facts.host.wsl


def _holders(facts: Facts) -> set[str]:
    return {card.bound_to for card in facts.gpu.cards if card.vendor == "nvidia"}


def _on_bus(facts: Facts) -> str:
    return f"on the PCI bus: {card_names(facts)}"


@rule("DRV201", Layer.KERNEL_MODULE, source=GUIDE, cause_id=NOT_LOADED)
def not_installed(facts: Facts) -> Optional[Verdict]:
    """An NVIDIA card on the PCI bus and no driver installed at all."""
    if not _is_unloaded(facts) or _holders(facts) & {"nouveau", "vfio-pci"}:
        return None
    is_installed = bool(known(facts.gpu.module_on_disk, None) or facts.gpu.libcuda)
    if is_installed and not facts.host.container:
        return None
    where = "on the host " if facts.host.container else ""
    return fault(
        f"there is an NVIDIA card and no driver {where}for it",
        evidence=(
            _on_bus(facts),
            "kernel module: not loaded" + ("" if facts.host.container else ", none on disk"),
            f"libcuda: {', '.join(facts.gpu.libcuda) or 'none'}",
        ),
        why=NO_GPU,
        fix=remedies.driver(facts),
        verify=SMI_LISTS,
    )


@rule("DRV202", Layer.KERNEL_MODULE, source=GUIDE, cause_id=NOT_LOADED)
def nouveau(facts: Facts) -> Optional[Verdict]:
    """The free nouveau driver holds the card, which has no CUDA."""
    if not _is_unloaded(facts) or "nouveau" not in _holders(facts):
        return None
    rebuild = {"apt": "update-initramfs -u", "dnf": "dracut --force"}.get(
        remedies.family(facts), "rebuild the initial RAM disk"
    )
    root = sudo(facts)
    installed = bool(known(facts.gpu.module_on_disk, None) or facts.gpu.libcuda)
    blacklist = (
        f"printf 'blacklist nouveau\\noptions nouveau modeset=0\\n' | {root}tee "
        "/etc/modprobe.d/blacklist-nouveau.conf"
    )
    return fault(
        "the nouveau driver holds the NVIDIA card",
        evidence=(_on_bus(facts), "bound to: nouveau", "/proc/driver/nvidia: absent"),
        why="nouveau has no CUDA, and while it holds the card NVIDIA's module cannot take it",
        fix=(
            *(() if installed else remedies.driver(facts)[:-1]),
            blacklist,
            f"{root}{rebuild}",
            remedies.reboot(facts),
        ),
        verify="`lsmod | grep -E 'nouveau|nvidia'` shows nvidia alone; " + SMI_LISTS,
    )


@rule("DRV203", Layer.KERNEL_MODULE, source=GUIDE + ", Secure Boot", cause_id=NOT_LOADED)
def secure_boot(facts: Facts) -> Optional[Verdict]:
    """The module is built for this kernel, not loaded, and Secure Boot is on."""
    if not _is_unloaded(facts) or _holders(facts) & {"nouveau", "vfio-pci"}:
        return None
    on_disk = known(facts.gpu.module_on_disk, None)
    if not on_disk or facts.host.secure_boot is not True or facts.host.container:
        return None
    root = sudo(facts)
    return fault(
        "Secure Boot most likely refuses the NVIDIA module",
        evidence=(f"module {on_disk} is built for this kernel and not loaded", "Secure Boot: on"),
        why="with Secure Boot the kernel loads signed modules only, and " + NO_GPU,
        fix=(
            f"{root}modprobe nvidia   (`Key was rejected by service` confirms it)",
            f"{root}mokutil --import /var/lib/shim-signed/mok/MOK.der   (then reboot and enrol it)",
            "or switch Secure Boot off in the firmware",
        ),
        verify=SMI_LISTS,
    )


@rule("DRV204", Layer.KERNEL_MODULE, source=GUIDE + ", DKMS", cause_id=NOT_LOADED)
def not_built(facts: Facts) -> Optional[Verdict]:
    """The user-space driver is installed and the module is not built for the running kernel."""
    if not _is_unloaded(facts) or _holders(facts) & {"nouveau", "vfio-pci"}:
        return None
    if facts.gpu.module_on_disk is not None or not facts.gpu.libcuda or facts.host.container:
        return None
    root = sudo(facts)
    headers = remedies.install(
        facts,
        apt="linux-headers-$(uname -r)",
        dnf="kernel-devel-$(uname -r)",
        zypper="kernel-default-devel",
        pacman="linux-headers",
        other="the headers of the running kernel",
    )
    return fault(
        f"the driver {', '.join(facts.gpu.libcuda)} has no module for the running kernel",
        evidence=(
            f"kernel: {facts.host.kernel}; modinfo finds no nvidia module for it",
            f"libcuda: {', '.join(facts.gpu.libcuda)}",
        ),
        why="after a kernel update the module has to be built anew; " + NO_GPU,
        fix=(headers, f"{root}dkms autoinstall", f"{root}modprobe nvidia"),
        verify="`modinfo -F version nvidia` prints a version; " + SMI_LISTS,
    )


@rule("DRV205", Layer.KERNEL_MODULE, source=GUIDE, cause_id=NOT_LOADED)
def not_loaded(facts: Facts) -> Optional[Verdict]:
    """The module is built for this kernel, nothing forbids it, and it is not loaded."""
    if not _is_unloaded(facts) or _holders(facts) & {"nouveau", "vfio-pci"}:
        return None
    on_disk = facts.gpu.module_on_disk
    if on_disk is None or facts.host.secure_boot is True or facts.host.container:
        return None
    if isinstance(on_disk, Unknown) and not facts.gpu.libcuda:
        return None  # not installed at all
    seen = f"modinfo: {on_disk.reason}" if isinstance(on_disk, Unknown) else f"on disk: {on_disk}"
    return fault(
        "the NVIDIA kernel module is not loaded",
        evidence=(_on_bus(facts), seen, "/proc/driver/nvidia: absent"),
        why=NO_GPU,
        fix=(
            f"{sudo(facts)}modprobe nvidia",
            f"{sudo(facts)}dmesg | grep -iE 'nvidia|NVRM' | tail   (the reason, if it refuses)",
        ),
        verify=SMI_LISTS,
    )


@rule("DRV206", Layer.KERNEL_MODULE, source="Linux kernel documentation, VFIO")
def passed_through(facts: Facts) -> Optional[Verdict]:
    """The card is set aside for a virtual machine (vfio-pci)."""
    if not _is_unloaded(facts) or "vfio-pci" not in _holders(facts):
        return None
    return fault(
        "the NVIDIA card is set aside for a virtual machine",
        evidence=(_on_bus(facts), "bound to: vfio-pci"),
        why="a card bound to vfio-pci belongs to a guest; the host's driver cannot have it",
        fix=(
            "train inside the guest that owns the card",
            "or take its ids out of vfio-pci.ids (kernel command line, /etc/modprobe.d) and reboot",
        ),
        verify="`lspci -k` says `Kernel driver in use: nvidia`",
    )


@rule("DRV207", Layer.KERNEL_MODULE, source="NVIDIA driver README, supported products")
def dropped_by_driver(facts: Facts) -> Optional[Verdict]:
    """A driver branch that no longer knows the card: Kepler after 470, up to Volta after 580."""
    chip = "" if facts.gpu.devices else dropped_chip(facts)
    if not chip:
        return None
    last = support.last_driver_branch(OLDEST_CAPABILITY[chip])
    return fault(
        f"driver {driver(facts)} no longer knows {chip} cards",
        evidence=(_on_bus(facts), f"driver: {driver(facts)}", f"nvidia-smi: {facts.gpu.smi}"),
        why=f"{last} is the last driver branch for {chip}",
        fix=_older_driver(facts),
        verify=SMI_LISTS,
    )


def _older_driver(facts: Facts) -> tuple[str, ...]:
    """Return how to go back to the last driver of the card, where that is of use."""
    way_out = choose(facts).way_out
    return remedies.driver(facts) if way_out.startswith("driver") else (way_out,)


@rule("DRV208", Layer.KERNEL_MODULE, source="NVIDIA open-gpu-kernel-modules, supported GPUs")
def needs_open_module(facts: Facts) -> Optional[Verdict]:
    """A Blackwell card under the proprietary kernel module, which does not know it."""
    if "Blackwell" not in chips(facts) or facts.gpu.module_is_open is not False:
        return None
    if facts.gpu.devices:
        return None
    branch = (support.version(facts.gpu.module_version or "") or (580,))[0]
    return fault(
        "a Blackwell card needs the open kernel module, the proprietary one is loaded",
        evidence=(
            _on_bus(facts),
            f"module: {facts.gpu.module_version}, proprietary",
            f"nvidia-smi: {facts.gpu.smi}",
        ),
        why="from Blackwell on only NVIDIA's open module drives the card",
        fix=(
            remedies.install(
                facts,
                apt=f"nvidia-driver-{max(branch, 580)}-open",
                dnf="nvidia-open",
                pacman="nvidia-open",
                other="the open kernel module",
            ),
            remedies.reboot(facts),
        ),
        verify="`cat /proc/driver/nvidia/version` says Open Kernel Module; " + SMI_LISTS,
    )
