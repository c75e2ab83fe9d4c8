"""What messages about torch and the CUDA libraries mean on the machine of the text."""

from __future__ import annotations

import re

from env_check import support
from env_check.explain.evidence import Found
from env_check.explain.fitting import capabilities_of, fit_of, has_no_nvidia
from env_check.explain.meanings.meaning import Judgement, Meaning
from env_check.explain.report import Report


def _no_kernel(report: Report, found: Found) -> Judgement:
    fit = fit_of(report)
    if fit == "too-old":
        return "gpu_arch_dropped", 0.93
    if fit in ("too-new", "jit"):
        return "gpu_arch_not_in_wheel", 0.93
    if report.gpus or report.capabilities:
        old = max(map(support.minor, capabilities_of(report))) < (7, 5)
        return ("gpu_arch_dropped", 0.75) if old else ("gpu_arch_not_in_wheel", 0.75)
    return None


def _invalid_image(report: Report, found: Found) -> Judgement:
    """A GPU newer than the build shows as an invalid image too."""
    if fit_of(report) in ("too-new", "jit"):
        return "gpu_arch_not_in_wheel", 0.85
    return ("gpu_arch_dropped", 0.85) if fit_of(report) == "too-old" else None


def _no_kernels_warning(report: Report, found: Found) -> Judgement:
    return ("gpu_arch_not_in_wheel", 0.9) if fit_of(report) in ("too-new", "jit") else None


def _cpu_build(report: Report, found: Found) -> Judgement:
    return ("no_nvidia_gpu", 0.93) if has_no_nvidia(report, found) else None


def _no_nccl(report: Report, found: Found) -> Judgement:
    """On Windows and macOS no build of torch has NCCL."""
    has_cuda = report.torch_cuda not in ("", "none")
    return ("cpu_only_torch", 0.2) if has_cuda or report.platform == "windows" else None


def _cudart_dll(report: Report, found: Found) -> Judgement:
    """TensorFlow tells on every start which GPU libraries it lacks, and goes on without."""
    return ("cuda_major_mismatch_extension", 0.2) if "tensorflow-goes-on" in found else None


def _wheel_library(report: Report, found: Found) -> Judgement:
    return ("mixed_cuda_libs", 0.2) if "tensorflow-goes-on" in found else None


def _cudart(report: Report, found: Found) -> Judgement:
    if "tensorflow-goes-on" in found:
        return "cuda_major_mismatch_extension", 0.2
    match = found["cudart-missing"][0]
    asked = re.search(r"\.so\.(\d+)", match.line_lowered)
    if any(id.startswith("bnb-") for id in found) or "libbitsandbytes" in match.line_lowered:
        return "bnb_cuda_setup_failed", 0.85
    if "torch-global-deps" in found:
        return "mixed_cuda_libs", 0.85
    if "library-path" in found and "nvjitlink" in match.line_lowered:
        return "mixed_cuda_libs", 0.88
    same_major = asked and report.torch_cuda.split(".")[0] == asked.group(1)
    if same_major and "cudart" not in match.line_lowered:
        return "mixed_cuda_libs", 0.8
    return None


def _torch_library(report: Report, found: Found) -> Judgement:
    return ("cpu_only_torch", 0.93) if report.is_cpu_build else None


def _bf16(report: Report, found: Found) -> Judgement:
    if report.is_cpu_build:
        return "cpu_only_torch", 0.9
    return ("no_nvidia_gpu", 0.8) if report.platform == "macos" else None


MEANINGS: dict[str, Meaning] = {
    "no-kernel-image": _no_kernel,
    "invalid-device-function": _no_kernel,
    "gpu-incompatible-short": _no_kernel,
    "cublas-arch": _no_kernel,
    "ptx-invalid-image": _invalid_image,
    "gpu-no-kernels": _no_kernels_warning,
    "not-compiled": _cpu_build,
    "load-on-cpu": _cpu_build,
    "no-nccl-built": _no_nccl,
    "cudart-missing": _cudart,
    "cudart-dll": _cudart_dll,
    "wheel-library-missing": _wheel_library,
    "torch-library-missing": _torch_library,
    "bf16-setup": _bf16,
}
