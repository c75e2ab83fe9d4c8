"""DRV: the user-space driver, its services, and what CUDA itself says."""

from __future__ import annotations

import re
from typing import Optional

from env_check import remedies, support
from env_check.facts import Facts, Unknown, known
from env_check.findings import Layer
from env_check.inference import card_names, driver, has_gpu
from env_check.remedies import sudo
from env_check.rules.rule import Verdict, fault, rule, unseen, warning

GUIDE = "NVIDIA Driver Installation Guide"
COMPAT_GUIDE = "NVIDIA CUDA Compatibility guide"
SMI_LISTS = "`nvidia-smi` lists the card"
# Uncorrectable memory, off the bus, link, firmware. Source: NVIDIA, XID Errors.
FATAL_XIDS = r"Xid.*: (48|62|63|64|74|79|94|95|119|120)\b"


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
