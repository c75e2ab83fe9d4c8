"""Rules over drivers and GPUs: versions that do not go together, devices that are gone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from env_check import support
from env_check.explain.evidence import Evidence, Found, line_of
from env_check.explain.fitting import fit_of
from env_check.explain.report import Report


def rule_driver_floor(report: Report, found: Found) -> Iterator[Evidence]:
    """The driver is below the floor of torch's CUDA, and torch does not say that CUDA works."""
    cuda = report.image_cuda if report.torch_cuda in ("", "none") else report.torch_cuda
    if not report.driver or not cuda or report.cuda_available or report.is_cpu_build:
        return
    platform = "wsl" if report.platform in ("wsl", "windows") else "linux"
    if support.driver_runs(report.driver, cuda, platform) is False:
        floor = support.driver_floor(cuda, platform)
        assert floor is not None
        why = f"Driver {report.driver} is below {floor.minimum}, the floor of CUDA {cuda}."
        yield Evidence(
            "driver_too_old_for_cuda",
            0.88,
            why,
            line_of(report, "driver", "torch_cuda", "image_cuda"),
            "driver-floor",
        )
    elif support.version(report.smi_cuda)[:1] < support.version(cuda)[:1] and report.smi_cuda:
        why = f"The driver offers CUDA {report.smi_cuda}, torch is built for {cuda}."
        lines = line_of(report, "smi_cuda", "torch_cuda")
        yield Evidence("driver_too_old_for_cuda", 0.75, why, lines, "driver-floor")


def rule_cuda_pair(report: Report, found: Found) -> Iterator[Evidence]:
    """A program prints the CUDA of the driver and its own, a major newer."""
    for match in found.get("cuda-api-pair", ()):
        driver, runtime = [group for group in match.groups if group]
        if support.version(driver)[0] < support.version(runtime)[0]:
            why = f"The driver offers CUDA {driver}, the program is built for {runtime}."
            yield Evidence("driver_too_old_for_cuda", 0.88, why, (match,), "cuda-pair")
            return


def rule_compat_library(report: Report, found: Found) -> Iterator[Evidence]:
    """nvidia-smi shows a CUDA newer than the driver branch ships, and CUDA fails."""
    offered = support.cuda_of_driver(
        report.driver, "wsl" if report.platform != "linux" else "linux"
    )
    if not report.smi_cuda or not offered or report.cuda_available:
        return
    if support.minor(report.smi_cuda) <= support.minor(offered):
        return
    if not {"compat-hardware", "compat-driver", "cuda-init-failed", "no-device"} & found.keys():
        return
    why = (
        f"Driver {report.driver} ships CUDA {offered}; nvidia-smi shows {report.smi_cuda}: "
        "a compat libcuda is loaded."
    )
    yield Evidence(
        "forward_compat_unsupported_hw", 0.93, why, line_of(report, "smi_cuda"), "compat-library"
    )


def rule_driver_versions(report: Report, found: Found) -> Iterator[Evidence]:
    """The loaded kernel module is of another version than the libraries of the driver."""
    if not report.module or not report.library or report.cuda_available:
        return
    if "compat-on-path" in found:  # a libcuda of its own, beside that of the driver
        return
    if report.module != report.library:
        why = f"The kernel module is {report.module}, the driver's libraries are {report.library}."
        lines = line_of(report, "module", "library")
        yield Evidence("nvml_version_mismatch_reboot", 0.95, why, lines, "driver-versions")


_SEES_NO_GPU = {
    "no-device", "no-cuda-gpus", "cuda-unknown", "cuda-init-failed", "smi-no-driver",
    "torch-no-driver", "cuda-launch-failure", "nvml-unknown", "cuda-stops",
}  # fmt: skip


def rule_suspend(report: Report, found: Found) -> Iterator[Evidence]:
    """CUDA is gone after the machine slept."""
    slept = found.get("suspend", [])
    lost = report.cuda_available is False or _SEES_NO_GPU & found.keys() or "uvm-reload" in found
    if "until-reboot" in found and report.cuda_available is False:
        lines = tuple(found["until-reboot"][:1])
        yield Evidence("cuda_unknown_error_stale_driver_state", 0.6, "", lines, "reboot")
    if slept and lost:
        why = "CUDA was lost when the machine slept."
        yield Evidence(
            "cuda_unknown_error_stale_driver_state", 0.88, why, tuple(slept[:1]), "suspend"
        )


def rule_cuda_gone(report: Report, found: Found) -> Iterator[Evidence]:
    """GPU, driver and build fit each other, and CUDA is not available all the same."""
    fits = fit_of(report) == "fits" and not report.is_cpu_build
    if report.cuda_available is False and report.driver and fits:
        if any(re.search(r"SXM|HGX|HBM3|H200|B200", card.name) for card in report.gpus):
            why = "These GPUs are joined by NVSwitch: CUDA waits for the Fabric Manager."
            yield Evidence(
                "fabric_manager_not_running", 0.5, why, line_of(report, "gpu"), "nvswitch"
            )
        why = "GPU, driver and torch build go together, and CUDA is not available all the same."
        lines = line_of(report, "available", "driver")
        yield Evidence("cuda_unknown_error_stale_driver_state", 0.4, why, lines, "cuda-gone")


def rule_exclusive(report: Report, found: Found) -> Iterator[Evidence]:
    """The compute mode admits one process, and a process is refused."""
    modes = [match for id in ("smi-exclusive", "smi-q-exclusive") for match in found.get(id, ())]
    refused = {"gpu-busy", "bad-ordinal", "context-refused", "no-device", "no-cuda-gpus"}
    if modes and refused & found.keys():
        yield Evidence("gpu_exclusive_mode", 0.95, "", tuple(modes[:1]), "exclusive")


_MIG_SYMPTOMS = (
    "no-cuda-gpus", "nccl-duplicate", "mig-torch-assert", "no-device", "too-many-requested",
    "bad-ordinal",
)  # fmt: skip


def rule_mig(report: Report, found: Found) -> Iterator[Evidence]:
    """MIG instances, and a process that sees one device or none."""
    mig = found.get("mig-instance", [])
    failing = tuple(found[id][0] for id in _MIG_SYMPTOMS if id in found)
    count = report.device_count
    devices = [match for match in mig if re.search(r"device\s+\d+:", match.line_lowered)]
    several = len(devices) > 1 or any(
        re.search(r"\b[2-7] mig\b|\bmig=[2-7]\b|mig-[^\s,]+,\s?mig-", match.line_lowered)
        for match in mig
    )
    alone = count == 0 or (count == 1 and several) or (several and "only-first" in found)
    if mig and (alone or failing):
        yield Evidence("mig_single_instance_visible", 0.95, "", (*mig[:3], *failing), "mig")
    elif len(devices) > 1 and "visible-devices-named" in found:
        why = "Several instances are to be used, and a process sees one."
        yield Evidence("mig_single_instance_visible", 0.5, why, tuple(mig[:3]), "mig")


RULES = (
    rule_driver_floor,
    rule_cuda_pair,
    rule_compat_library,
    rule_driver_versions,
    rule_suspend,
    rule_cuda_gone,
    rule_exclusive,
    rule_mig,
)
