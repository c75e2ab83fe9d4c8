"""What messages about driver and devices mean on the machine of the text."""

from __future__ import annotations

import re

from env_check import support
from env_check.explain.evidence import Found, lines_of
from env_check.explain.fitting import has_no_nvidia
from env_check.explain.meanings.meaning import Judgement, Meaning
from env_check.explain.report import Report


def _insufficient(report: Report, found: Found) -> Judgement:
    """The runtime says it too where libcuda is missing beside a driver that is new enough."""
    if "wsl-one" in found:
        return "wsl_gpu_not_exposed", 0.95
    cuda = "12.0" if report.torch_cuda in ("", "none") else report.torch_cuda
    if not report.driver or not support.driver_runs(report.driver, cuda):
        return None
    if report.platform == "wsl":
        return "wsl_libcuda_not_found", 0.8
    return ("container_no_gpu_flag", 0.85) if report.is_container else None


def _driver_asked(report: Report, found: Found) -> Judgement:
    """A driver as new as the one that is asked for is no fault."""
    asked = re.findall(r"\b\d{3}\.\d{2,3}(?:\.\d+)?", lines_of(found, "driver-minimum"))
    met = report.driver and any(
        support.version(report.driver) >= support.version(each) for each in asked
    )
    return ("driver_too_old_for_cuda", 0.2) if met else None


def _no_driver(report: Report, found: Found) -> Judgement:
    if has_no_nvidia(report, found):
        return "no_nvidia_gpu", 0.9
    if "smi-no-driver" in found:
        return "driver_missing_or_not_loaded", 0.9
    if report.platform == "wsl":
        return "wsl_gpu_not_exposed", 0.6
    if report.is_container:
        return "container_no_gpu_flag", 0.82
    return None


def _wsl_sees_none(report: Report, found: Found) -> Judgement:
    """WSL has no kernel module: Windows did not hand over the GPU."""
    if report.platform == "wsl":
        return "wsl_gpu_not_exposed", 0.8
    return None


def _device_nodes(report: Report, found: Found) -> Judgement:
    """WSL has no /dev/nvidia*; a container gets them from its engine."""
    if report.platform == "wsl":
        return "driver_missing_or_not_loaded", 0.2
    if report.is_container and "smi-no-driver" not in found:
        return "container_no_gpu_flag", 0.75
    return None


def _libcuda(report: Report, found: Found) -> Judgement:
    if report.platform == "wsl":
        return "wsl_libcuda_not_found", 0.9
    if report.is_container:
        return "container_no_gpu_flag", 0.75
    return None


def _libcuda_prose(report: Report, found: Found) -> Judgement:
    """TensorFlow says it on every machine without a GPU: there it is no fault."""
    if report.platform == "wsl":
        return "wsl_libcuda_not_found", 0.75
    if "could not find cuda drivers" in lines_of(found, "libcuda-prose"):
        return "driver_missing_or_not_loaded", 0.2
    return ("container_no_gpu_flag", 0.7) if report.is_container else None


def _libnvml(report: Report, found: Found) -> Judgement:
    line = found["libnvml-missing"][0].line_lowered
    if report.platform == "wsl":
        return "wsl_gpu_not_exposed", 0.85
    if "nvidia-container-cli" not in line and report.is_container:
        return "container_no_gpu_flag", 0.75
    return None


def _no_device(report: Report, found: Found) -> Judgement:
    if "no-gpu-own-words" in found and has_no_nvidia(report, found):
        return "no_nvidia_gpu", 0.85
    if any(match.groups[0] in ("", "-1") for match in found.get("visible-devices-set", ())):
        return "cuda_device_index_invalid", 0.85
    if report.platform == "wsl":
        return "wsl_gpu_not_exposed", 0.6
    if report.is_container and not report.driver:
        return "container_no_gpu_flag", 0.65
    return None


def _no_gpus(report: Report, found: Found) -> Judgement:
    if has_no_nvidia(report, found):
        return "no_nvidia_gpu", 0.85
    if "visible-devices-set" in found:
        return "cuda_device_index_invalid", 0.88
    if report.platform == "wsl":
        return "wsl_gpu_not_exposed", 0.7
    if report.is_container and not report.driver:
        return "container_no_gpu_flag", 0.7
    return None


def _init_failed(report: Report, found: Found) -> Judgement:
    return ("container_no_gpu_flag", 0.6) if report.is_container and not report.driver else None


def _smi_not_found(report: Report, found: Found) -> Judgement:
    if report.platform == "wsl" and not report.is_container:
        return "wsl_gpu_not_exposed", 0.5
    if report.platform == "macos":
        return "no_nvidia_gpu", 0.8
    if "pci-nvidia" in found and not report.is_container:
        return "driver_missing_or_not_loaded", 0.85
    return ("container_no_gpu_flag", 0.85) if report.is_container else None


def _smi_without_cuda(report: Report, found: Found) -> Judgement:
    return ("wsl_libcuda_not_found", 0.75) if report.platform == "wsl" else None


def _smi_segfault(report: Report, found: Found) -> Judgement:
    return ("wsl_gpu_not_exposed", 0.75) if report.platform == "wsl" else None


def _ordinal(report: Report, found: Found) -> Judgement:
    return ("mig_single_instance_visible", 0.93) if "mig-instance" in found else None


def _device_name(report: Report, found: Found) -> Judgement:
    if report.is_cpu_build:
        return "cpu_only_torch", 0.93
    return _ordinal(report, found)


def _busy(report: Report, found: Found) -> Judgement:
    """WSL has no compute modes: there the paravirtualised device is what fails."""
    return ("wsl_gpu_not_exposed", 0.75) if report.platform == "wsl" else None


def _dso_mismatch(report: Report, found: Found) -> Judgement:
    """A libcuda from a compat folder, older than the driver: no module waits for a reboot."""
    if {"compat-on-path", "compat-driver"} <= found.keys():
        return "forward_compat_unsupported_hw", 0.97
    return None


def _fabric(report: Report, found: Found) -> Judgement:
    """Without NVSwitch the service has nothing to do, and its end is no fault."""
    consumer = report.gpus and all(card.kind == "consumer" for card in report.gpus)
    return ("fabric_manager_not_running", 0.2) if consumer or "fabric-nothing" in found else None


MEANINGS: dict[str, Meaning] = {
    "driver-insufficient": _insufficient,
    "driver-minimum": _driver_asked,
    "torch-no-driver": _no_driver,
    "nvml-not-found": _no_driver,
    "libcuda-missing": _libcuda,
    "libcuda-prose": _libcuda_prose,
    "libnvml-missing": _libnvml,
    "smi-no-driver": _wsl_sees_none,
    "smi-no-devices": _wsl_sees_none,
    "smi-no-devices-prose": _wsl_sees_none,
    "smi-failed-alone": _wsl_sees_none,
    "driver-absent-prose": _no_driver,
    "cure-driver-install": _wsl_sees_none,
    "cure-driver-update": _wsl_sees_none,
    "cli-driver-error": _wsl_sees_none,
    "device-nodes": _device_nodes,
    "no-device": _no_device,
    "no-cuda-gpus": _no_gpus,
    "cuda-init-failed": _init_failed,
    "smi-not-found": _smi_not_found,
    "smi-not-found-prose": _smi_not_found,
    "dso-mismatch": _dso_mismatch,
    "fabric-version": _fabric,
    "fabric-nvswitch": _fabric,
    "fabric-prose": _fabric,
    "bad-ordinal": _ordinal,
    "bad-device-name": _device_name,
    "device-assert-index": _ordinal,
    "gpu-busy": _busy,
    "smi-cuda-err": _smi_without_cuda,
    "smi-segfault": _smi_segfault,
}
