"""Rules over the torch build: CPU or CUDA, and the GPUs it has code for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from env_check import support
from env_check.explain.evidence import Evidence, Found, line_of
from env_check.explain.fitting import build_of, capabilities_of, fit_of, has_no_nvidia
from env_check.explain.report import Report

_NEEDS_CUDA = {
    "not-compiled",
    "load-on-cpu",
    "bnb-needs-gpu",
    "bnb-no-device",
    "bnb-cpu-library",
    "bnb-load-error",
    "bnb-no-gpu",
    "xformers-build",
    "bf16-setup",
    "no-device",
    "no-cuda-functions",
    "no-nccl-built",
    "torch-no-driver",
    "no-cuda-gpus",
}


def rule_cpu_build(report: Report, found: Found) -> Iterator[Evidence]:
    """torch carries no CUDA although a GPU or driver is named."""
    has_gpu = bool(report.gpus or report.driver)
    is_rocm = report.is_amd or "rocm" in report.torch
    if is_rocm or report.platform == "macos":
        return
    lines = line_of(report, "torch", "torch_cuda")
    complains = found.keys() & _NEEDS_CUDA
    if report.is_cpu_build and report.cuda_available is not True and (has_gpu or complains):
        strength = 0.93 if has_gpu else 0.8
        yield Evidence(
            "cpu_only_torch", strength, f"torch {report.torch} is a CPU build.", lines, "cpu-build"
        )
    elif report.is_cpu_build and (
        "nvcc-release" in found
        or "no-gpu-prose" in found
        or (report.cuda_available is False and "asks-cuda" in found)
    ):
        why = "This CPU build is asked for CUDA."
        yield Evidence(
            "cpu_only_torch", 0.7, why, lines + line_of(report, "cpu_build"), "cpu-build"
        )
    elif report.torch_cuda == "none" and has_gpu and report.cuda_available is False:
        why = "torch was built without CUDA, although the machine has a GPU."
        yield Evidence("cpu_only_torch", 0.85, why, lines, "cpu-build")


def rule_default_build(report: Report, found: Found) -> Iterator[Evidence]:
    """Plain pip brings a CPU build on this platform, and CUDA is not available."""
    untagged = report.torch and "+" not in report.torch and report.torch_cuda in ("", "none")
    if not untagged or report.cuda_available is not False or report.torch.endswith("cpu"):
        return
    asked = report.gpus or report.driver or "asks-cuda" in found
    default = support.default_tag(report.torch, report.machine, report.platform)
    if asked and default == "cpu":
        why = f"On this platform pip installs torch {report.torch} without CUDA."
        lines = line_of(report, "torch", "available")
        yield Evidence("cpu_only_torch", 0.6, why, lines, "default-build")


def rule_gpu_fit(report: Report, found: Found) -> Iterator[Evidence]:
    """The GPU is outside the architectures of the build."""
    fit = fit_of(report)
    complains = {
        "gpu-incompatible",
        "gpu-incompatible-short",
        "gpu-cc-warning",
        "gpu-cc-supported",
    } & found.keys()
    if fit not in ("too-old", "too-new") or not (complains or "no-kernel-image" in found):
        return
    cause_id = "gpu_arch_dropped" if fit == "too-old" else "gpu_arch_not_in_wheel"
    capability = ", ".join(capabilities_of(report))
    architectures = report.sm_list or getattr(build_of(report), "architectures", ())
    listed = ", ".join(architectures)
    why = f"The GPU is compute capability {capability}; the build has code for {listed}."
    lines = tuple(match for id in sorted(complains) for match in found[id][:1])
    yield Evidence(cause_id, 0.96, why, lines + line_of(report, "gpu"), "gpu-fit")


def rule_arch_refused(report: Report, found: Found) -> Iterator[Evidence]:
    """A program refuses a compute capability: below its oldest, or above its newest."""
    for match in found.get("arch-refused", ()):
        line = match.line_lowered
        named = re.search(r"(?:\bsm_?|capability:? |compute )(\d{1,3}(?:\.\d)?)", line)
        if not named or "triton" in line or "capabilities" in line:
            continue
        number = named.group(1)
        capability = number if "." in number else support.capability_of_sm(number)
        old = re.search(r"minimum|below|too (?:low|old)", line) or support.minor(capability) < (
            7,
            5,
        )
        cause_id = "gpu_arch_dropped" if old else "gpu_arch_not_in_wheel"
        yield Evidence(cause_id, 0.72, "", (match,), "arch-refused")
        return


def rule_no_nvidia(report: Report, found: Found) -> Iterator[Evidence]:
    """A machine of another make, or without a GPU, is told to bring an NVIDIA GPU."""
    if not has_no_nvidia(report, found):
        return
    words = found.get("no-gpu-own-words", ())
    missed = tuple(match for match in words if "nvidia" in match.line_lowered)
    if "intel-graphics" in found and missed:
        yield Evidence("no_nvidia_gpu", 0.6, "", missed[:1], "no-nvidia")
    if "needs-cuda" in found:
        yield Evidence("no_nvidia_gpu", 0.85, "", tuple(found["needs-cuda"][:1]), "no-nvidia")
    for match in found.get("no-gpu-prose", ()):
        # Every report of a Mac says that CUDA is not available: that is no complaint.
        if report.platform != "macos" or "cuda" not in match.line_lowered:
            yield Evidence("no_nvidia_gpu", 0.62, "", (match,), "no-nvidia")
            return


def rule_capability_range(report: Report, found: Found) -> Iterator[Evidence]:
    """torch names the GPU's capability and the range its build covers."""
    for match in found.get("gpu-cc-range", ()):
        own, low, high = match.groups
        if support.minor(own) < support.minor(low):
            cause_id = "gpu_arch_dropped"
        elif support.minor(own) > support.minor(high):
            cause_id = "gpu_arch_not_in_wheel"
        else:
            continue
        why = f"The GPU is compute capability {own}; the build covers {low} to {high}."
        yield Evidence(cause_id, 0.97, why, (match,), "capability-range")


def rule_known_misfit(report: Report, found: Found) -> Iterator[Evidence]:
    """An environment report alone: GPU and build do not fit, although nothing complains yet."""
    if fit_of(report) not in ("too-old", "too-new") or not (report.torch or report.sm_list):
        return
    if any(id in found for id in ("gpu-incompatible", "no-kernel-image", "gpu-cc-warning")):
        return
    released = re.fullmatch(r"\d+\.\d+\.\d+\+cu\d+", report.torch) or report.sm_list
    if not report.gpus or not released:  # source and conda builds have lists of their own
        return
    cause_id = "gpu_arch_dropped" if fit_of(report) == "too-old" else "gpu_arch_not_in_wheel"
    listed = ", ".join(report.sm_list or getattr(build_of(report), "architectures", ()))
    card = report.gpus[0]
    why = f"{card.name} ({card.capability}) is outside the build's list: {listed}."
    strength = 0.75 if report.sm_list else 0.6
    lines = line_of(report, "gpu", "sm_list", "torch")
    yield Evidence(cause_id, strength, why, lines, "known-misfit")


# The first CUDA whose compiler knows a generation. Source: CUDA toolkit release notes.
_FIRST_CUDA = {7: "9.0", 8: "11.0", 9: "11.8", 10: "12.8", 12: "12.8"}


def rule_cuda_before_card(report: Report, found: Found) -> Iterator[Evidence]:
    """The CUDA of the build is older than the GPU's generation, whichever torch it is."""
    oldest = min((support.minor(card.capability)[0] for card in report.gpus), default=0)
    first = _FIRST_CUDA.get(oldest, "")
    if not first or report.torch_cuda in ("", "none"):
        return
    if support.minor(report.torch_cuda) < support.minor(first):
        why = f"CUDA {report.torch_cuda} has no code for a GPU that CUDA {first} was the first for."
        lines = line_of(report, "gpu", "torch_cuda", "torch")
        yield Evidence("gpu_arch_not_in_wheel", 0.5, why, lines, "cuda-before-card")


def rule_nvcc_major(report: Report, found: Found) -> Iterator[Evidence]:
    """A build fails where nvcc and torch are of two CUDA majors."""
    if "building" not in found or "error" not in found or report.torch_cuda in ("", "none"):
        return
    if report.nvcc and support.version(report.nvcc)[0] != support.version(report.torch_cuda)[0]:
        why = f"nvcc is of CUDA {report.nvcc}, torch of {report.torch_cuda}."
        lines = line_of(report, "nvcc", "torch_cuda")
        yield Evidence("nvcc_torch_cuda_mismatch", 0.6, why, lines, "nvcc-major")


_NO_KERNEL = ("no-kernel-image", "invalid-device-function")


def rule_extension_arch(report: Report, found: Found) -> Iterator[Evidence]:
    """torch has code for the GPU; the extension in the traceback has none."""
    failing = [match for id in _NO_KERNEL for match in found.get(id, ())]
    capabilities = capabilities_of(report)
    if not failing or not capabilities:
        return
    old = min(map(support.minor, capabilities)) < (8, 0)
    if "fa-trace" in found and old:
        why = f"The GPU is compute capability {capabilities[0]}."
        yield Evidence("flash_attn_unsupported_gpu", 0.97, why, tuple(failing[:1]), "extension")
    elif "xformers-trace" in found and fit_of(report) == "fits":
        why = "torch has code for this GPU, the installed xformers has not."
        yield Evidence("xformers_torch_mismatch", 0.9, why, tuple(failing[:1]), "extension")


RULES = (
    rule_cpu_build,
    rule_default_build,
    rule_gpu_fit,
    rule_arch_refused,
    rule_no_nvidia,
    rule_capability_range,
    rule_known_misfit,
    rule_cuda_before_card,
    rule_nvcc_major,
    rule_extension_arch,
)
