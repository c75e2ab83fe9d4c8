"""DRV: the kernel module, the user-space driver, and the Windows driver under WSL."""

from __future__ import annotations

import re
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
    has_gpu,
    nvidia_cards,
)
from env_check.remedies import sudo
from env_check.rules.rule import Verdict, fault, rule, unseen, warning

GUIDE = "NVIDIA Driver Installation Guide"
WSL_GUIDE = "NVIDIA, CUDA on WSL User Guide"
COMPAT_GUIDE = "NVIDIA CUDA Compatibility guide"
NOT_LOADED = "driver_missing_or_not_loaded"
NO_GPU = "without the kernel module no program can reach the card"
SMI_LISTS = "`nvidia-smi` lists the card"
# Uncorrectable memory, off the bus, link, firmware. Source: NVIDIA, XID Errors.
FATAL_XIDS = r"Xid.*: (48|62|63|64|74|79|94|95|119|120)\b"


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


@rule(
    "DRV210",
    Layer.DRIVER,
    source="https://github.com/oddmario/NVIDIA-Ubuntu-Driver-Guide/issues/4",
    cause_id="nvml_version_mismatch_reboot",
)
def version_mismatch(facts: Facts) -> Optional[Verdict]:
    """The loaded kernel module and the driver's libraries are of different versions."""
    gpu = facts.gpu
    said = "version mismatch" in gpu.smi.lower()
    differs = bool(gpu.module_version and gpu.libcuda and gpu.module_version not in gpu.libcuda)
    if facts.host.wsl or facts.host.container or not (said or differs):
        return None
    return fault(
        "the loaded kernel module and the driver's libraries do not match",
        evidence=(
            f"kernel module: {gpu.module_version or 'not readable'}",
            f"libcuda on disk: {', '.join(gpu.libcuda) or 'none'}",
            f"nvidia-smi: {gpu.smi}",
        ),
        why="the packages were updated under the running module; both must be the same version",
        fix=(
            remedies.reboot(facts),
            "or stop all GPU programs, then: "
            f"{sudo(facts)}rmmod nvidia_uvm nvidia_drm nvidia_modeset nvidia && "
            f"{sudo(facts)}modprobe nvidia",
        ),
        verify="`nvidia-smi` prints one driver version",
    )


@rule("DRV211", Layer.DRIVER, source=GUIDE, cause_id="gpu_hardware_xid")
def card_lost(facts: Facts) -> Optional[Verdict]:
    """nvidia-smi or the kernel log says that the card fell off the bus or failed."""
    lost = re.search(
        r"GPU is lost|fallen off the bus|Unable to determine the device", facts.gpu.smi
    )
    log = known(facts.gpu.kernel_log, ())
    xids = [line for line in log if re.search(FATAL_XIDS, line)]
    if not lost and not xids:
        return None
    return fault(
        "the card or its link has failed",
        evidence=(f"nvidia-smi: {facts.gpu.smi}", *xids[-2:]),
        why="after such an error the card computes wrongly or not at all until it is reset",
        fix=(
            f"{remedies.reboot(facts)}   (cold: power off, wait, on)",
            "if it returns: check power, heat and slot; on a rented machine ask for another",
        ),
        verify=SMI_LISTS + " and `dmesg | grep -i xid` stays empty under load",
    )


@rule("DRV212", Layer.DRIVER, source=GUIDE)
def smi_hangs(facts: Facts) -> Optional[Verdict]:
    """nvidia-smi or cuInit gives no answer in its time: the driver is stuck."""
    reasons = [
        value.reason
        for value in (facts.gpu.driver_version, facts.gpu.init_code)
        if isinstance(value, Unknown) and "no answer" in value.reason
    ]
    if not reasons:
        return None
    return fault(
        "the driver does not answer",
        evidence=tuple(dict.fromkeys(reasons)),
        why="a program that calls it now would hang too",
        fix=(
            f"{sudo(facts)}dmesg | grep -iE 'NVRM|Xid' | tail",
            f"{sudo(facts)}systemctl enable --now nvidia-persistenced   (if starting is only slow)",
            remedies.reboot(facts),
        ),
        verify="`time nvidia-smi` ends within a second",
    )


@rule(
    "DRV213",
    Layer.DRIVER,
    source="https://github.com/pytorch/pytorch/issues/49081",
    cause_id="cuda_unknown_error_stale_driver_state",
    explained_by=(Layer.KERNEL_MODULE, Layer.DRIVER),
)
def stale_state(facts: Facts) -> Optional[Verdict]:
    """cuInit says 999 (unknown error) while nvidia-smi works: stale state, often after suspend."""
    if facts.gpu.init_code != 999:
        return None
    return fault(
        "CUDA cannot start: unknown error (999)",
        evidence=(
            "cuInit: 999",
            f"nvidia-smi: {facts.gpu.smi}",
            f"loaded: {', '.join(facts.gpu.modules) or 'not readable'}",
        ),
        why="the nvidia_uvm module keeps a broken state, typically after suspend",
        fix=(
            f"{sudo(facts)}rmmod nvidia_uvm && {sudo(facts)}modprobe nvidia_uvm",
            remedies.reboot(facts),
        ),
        verify="`env-check` reports no DRV213",
    )


@rule(
    "DRV214",
    Layer.DRIVER,
    source="NVIDIA Fabric Manager User Guide",
    cause_id="fabric_manager_not_running",
)
def fabric_manager(facts: Facts) -> Optional[Verdict]:
    """An NVSwitch machine whose Fabric Manager does not run: CUDA error 802."""
    state = facts.gpu.fabric_manager
    stopped = facts.gpu.has_nvswitch and not isinstance(state, Unknown) and state != "active"
    if facts.gpu.init_code != 802 and not stopped:
        return None
    branch = (support.version(driver(facts)) or (0,))[0]
    return fault(
        "the Fabric Manager does not run: CUDA cannot start (802)",
        evidence=(
            f"cuInit: {_code(facts)}",
            f"nvidia-fabricmanager: {known(state, 'not readable') or 'not seen'}",
            f"driver: {driver(facts)}",
        ),
        why="GPUs behind an NVSwitch wait until the Fabric Manager of the same version set it up",
        fix=(
            remedies.install(
                facts,
                apt=f"nvidia-fabricmanager-{branch}",
                other=f"nvidia-fabric-manager of exactly {driver(facts)}",
            ),
            f"{sudo(facts)}systemctl enable --now nvidia-fabricmanager",
        ),
        verify="`systemctl is-active nvidia-fabricmanager` prints active",
    )


def _code(facts: Facts) -> str:
    code = facts.gpu.init_code
    return code.reason if isinstance(code, Unknown) else str(code)


@rule("DRV215", Layer.DRIVER, source=COMPAT_GUIDE, cause_id="forward_compat_unsupported_hw")
def compat_refused(facts: Facts) -> Optional[Verdict]:
    """A cuda-compat libcuda on a card or driver without forward compatibility: 803 or 804."""
    code, has_compat = facts.gpu.init_code, bool(facts.gpu.compat_folders)
    if code != 804 and not (code == 803 and has_compat):
        return None
    where = ", ".join(facts.gpu.compat_folders) or "see `ldconfig -p | grep libcuda`"
    return fault(
        f"a libcuda newer than the driver is loaded, and refused ({facts.gpu.init_code})",
        evidence=(
            f"cuInit: {facts.gpu.init_code}",
            f"driver: {driver(facts)}, libcuda of CUDA {known(facts.gpu.cuda_version, None)}",
            f"compat folder: {where}",
        ),
        why="forward compatibility exists on data-centre cards alone, from listed driver branches",
        fix=(
            "take the compat folder out of LD_LIBRARY_PATH and /etc/ld.so.conf.d, run ldconfig",
            *remedies.update_driver(facts),
        ),
        verify="`env-check` reports no DRV215",
    )


@rule("DRV216", Layer.DRIVER, source=COMPAT_GUIDE)
def compat_loaded(facts: Facts) -> Optional[Verdict]:
    """A cuda-compat libcuda is loaded and works: CUDA is newer than the driver branch brings."""
    own = support.cuda_of_driver(driver(facts)) if driver(facts) else None
    seen = known(facts.gpu.cuda_version, None)
    if facts.host.wsl or not own or not seen or facts.gpu.init_code not in (0, None):
        return None
    if support.minor(seen) <= support.minor(own):
        return None
    return warning(
        f"a compat libcuda is loaded: CUDA {seen} on a driver that brings {own}",
        evidence=(f"driver: {driver(facts)} (CUDA {own})", f"libcuda: CUDA {seen}"),
        why="it works here; it fails on cards without forward compatibility, so do not copy it",
        fix="nothing to do here; a driver of that CUDA version makes it superfluous",
        verify=f"`nvidia-smi` prints CUDA Version {own}",
    )


@rule("DRV217", Layer.DRIVER, source=GUIDE, cause_id="cuda_unknown_error_stale_driver_state")
def uvm_missing(facts: Facts) -> Optional[Verdict]:
    """The module is loaded and /dev/nvidia-uvm is not there: CUDA cannot start on the host."""
    gpu = facts.gpu
    if facts.host.wsl or facts.host.container or not gpu.module_version or not gpu.devices:
        return None
    if "nvidia-uvm" in gpu.nodes or gpu.init_code == 0:
        return None
    return fault(
        "the device node /dev/nvidia-uvm is missing",
        evidence=(
            f"under /dev: {', '.join(gpu.nodes) or 'no nvidia node'}",
            f"cuInit: {_code(facts)}",
        ),
        why="nvidia-smi works without it, CUDA does not",
        fix=(f"{sudo(facts)}nvidia-modprobe -u -c=0", f"{sudo(facts)}modprobe nvidia_uvm"),
        verify="`ls /dev/nvidia-uvm` finds it",
    )


@rule(
    "DRV218",
    Layer.DRIVER,
    source="CUDA driver API, cuInit",
    explained_by=(Layer.KERNEL_MODULE, Layer.DRIVER, Layer.CONTAINER, Layer.DEVICE),
)
def init_failed(facts: Facts) -> Optional[Verdict]:
    """cuInit returns an error that has no rule of its own while nvidia-smi lists a card."""
    code = facts.gpu.init_code
    if isinstance(code, Unknown) or code in (0, None, 802, 804, 999) or not facts.gpu.devices:
        return None
    return fault(
        f"CUDA cannot start: error {code}",
        evidence=(f"cuInit: {code}", f"nvidia-smi lists: {card_names(facts)}"),
        why="what nvidia-smi sees does not help while CUDA itself refuses",
        fix=(f"{sudo(facts)}dmesg | grep -iE 'NVRM|Xid' | tail", remedies.reboot(facts)),
        verify="`env-check` reports no DRV218",
    )


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


@rule(
    "DRV230",
    Layer.DRIVER,
    source=GUIDE,
    explained_by=(Layer.PLATFORM, Layer.KERNEL_MODULE, Layer.DRIVER, Layer.CONTAINER),
)
def smi_fails(facts: Facts) -> Optional[Verdict]:
    """nvidia-smi fails or lists nothing, and no rule below knows why."""
    if not has_gpu(facts) or facts.gpu.smi in ("ok", "absent"):
        return None
    return fault(
        "nvidia-smi does not list the card",
        evidence=(f"nvidia-smi: {facts.gpu.smi}", f"module: {facts.gpu.module_version or 'none'}"),
        why="what it cannot see, torch cannot use",
        fix=(f"{sudo(facts)}dmesg | grep -iE 'NVRM|Xid' | tail", *remedies.driver(facts)),
        verify=SMI_LISTS,
    )


@rule(
    "DRV231",
    Layer.DRIVER,
    source="docs: unknown is never ok",
    explained_by=(Layer.PLATFORM, Layer.KERNEL_MODULE, Layer.DRIVER, Layer.CONTAINER),
)
def driver_unread(facts: Facts) -> Optional[Verdict]:
    """There is an NVIDIA card and the driver's version could not be read."""
    if not has_gpu(facts) or driver(facts):
        return None
    return unseen(
        "the driver's version could not be read",
        evidence=f"nvidia-smi: {facts.gpu.smi}; /proc/driver/nvidia/version: absent",
        why="which CUDA builds run depends on it",
        fix="nvidia-smi   (run it by hand; in WSL /usr/lib/wsl/lib/nvidia-smi)",
        verify="`nvidia-smi` prints a driver version",
    )
