"""Rules over the facts of a text, and which cause an ambiguous message means on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Callable, Optional

from env_check import support
from env_check.explain.report import Report
from env_check.explain.scan import Match
from env_check.explain.signatures import BY_ID, Signature

Found = dict[str, list[Match]]


@dataclass(frozen=True)
class Evidence:
    """One reason to believe in one cause."""

    cause_id: str
    strength: float
    why: str
    matches: tuple[Match, ...]
    rule: str


def gather(report: Report, found: Found) -> list[Evidence]:
    """Return all evidence: each signature under the cause it means here, each rule that holds."""
    evidence = [
        _from_signature(BY_ID[id], matches, report, found)
        for id, matches in found.items()
        if id in BY_ID and BY_ID[id].cause_id
    ]
    for rule in RULES:
        evidence.extend(rule(report, found))
    return evidence


def _from_signature(row: Signature, matches: list[Match], report: Report, found: Found) -> Evidence:
    cause_id, strength = row.cause_id, row.strength
    decide = MEANINGS.get(row.id)
    if decide:
        cause_id, strength = decide(report, found) or (cause_id, strength)
    return Evidence(cause_id, strength, row.why, tuple(matches), row.id)


# ---- what an ambiguous message means on this machine


def _no_driver(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if report.platform == "macos" or report.is_amd:
        return "no_nvidia_gpu", 0.9
    if "smi-no-driver" in found:
        return "driver_missing_or_not_loaded", 0.9
    if report.platform == "wsl":
        return "wsl_gpu_not_exposed", 0.6
    if report.is_container:
        return "container_no_gpu_flag", 0.82
    return None


def _libcuda(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if report.platform == "wsl":
        return "wsl_libcuda_not_found", 0.9
    if report.is_container:
        return "container_no_gpu_flag", 0.75
    return None


def _libnvml(report: Report, found: Found) -> Optional[tuple[str, float]]:
    line = found["libnvml-missing"][0].line_lowered
    if "nvidia-container-cli" not in line and report.is_container:
        return "container_no_gpu_flag", 0.75
    return None


def _no_device(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if any(match.groups[0] in ("", "-1") for match in found.get("visible-devices-set", ())):
        return "cuda_device_index_invalid", 0.85
    if report.platform == "wsl":
        return "wsl_gpu_not_exposed", 0.6
    if report.is_container and not report.driver:
        return "container_no_gpu_flag", 0.65
    return None


def _no_gpus(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if "visible-devices-set" in found:
        return "cuda_device_index_invalid", 0.88
    if report.is_container and not report.driver:
        return "container_no_gpu_flag", 0.7
    return None


def _smi_not_found(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if report.platform == "wsl" and not report.is_container:
        return "wsl_gpu_not_exposed", 0.5
    if report.platform == "macos":
        return "no_nvidia_gpu", 0.8
    return ("container_no_gpu_flag", 0.85) if report.is_container else None


def _no_kernel(report: Report, found: Found) -> Optional[tuple[str, float]]:
    fit = _fit(report)
    if fit == "too-old":
        return "gpu_arch_dropped", 0.93
    if fit in ("too-new", "jit"):
        return "gpu_arch_not_in_wheel", 0.93
    if report.gpus or report.capabilities:
        old = max(map(support.minor, _capabilities(report))) < (7, 5)
        return ("gpu_arch_dropped", 0.75) if old else ("gpu_arch_not_in_wheel", 0.75)
    return None


def _no_kernels_warning(report: Report, found: Found) -> Optional[tuple[str, float]]:
    return ("gpu_arch_not_in_wheel", 0.9) if _fit(report) in ("too-new", "jit") else None


def _cpu_build(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if report.platform == "macos" or report.is_amd:
        return "no_nvidia_gpu", 0.93
    return None


def _no_nccl(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """On Windows and macOS no build of torch has NCCL."""
    has_cuda = report.torch_cuda not in ("", "none")
    return ("cpu_only_torch", 0.2) if has_cuda or report.platform == "windows" else None


def _bitsandbytes(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if report.platform == "macos" or report.is_amd:
        return "no_nvidia_gpu", 0.9
    if _is_cpu_build(report):
        return "cpu_only_torch", 0.9
    return None


def _bnb_binary(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if "bnb-override" in found:
        return "bnb_cuda_setup_failed", 0.95
    return None


def _bnb_library_missing(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if report.platform == "macos" or report.is_amd:
        return "no_nvidia_gpu", 0.93
    return _bnb_binary(report, found)


def _libcuda_so(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if report.platform == "wsl":
        return "wsl_libcuda_not_found", 0.93
    if report.platform == "windows":
        return "bnb_cuda_setup_failed", 0.7
    triton_asks = "cannot found" in _lines(found, "libcuda-so-missing")
    return ("triton_no_compiler", 0.75) if triton_asks else None


def _cudart_dll(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """TensorFlow tells on every start which GPU libraries it lacks, and goes on without."""
    return ("cuda_major_mismatch_extension", 0.2) if "tensorflow-goes-on" in found else None


def _cudart(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if "tensorflow-goes-on" in found:
        return "cuda_major_mismatch_extension", 0.2
    match = found["cudart-missing"][0]
    asked = re.search(r"\.so\.(\d+)", match.line_lowered)
    if any(id.startswith("bnb-") for id in found) or "libbitsandbytes" in match.line_lowered:
        return "bnb_cuda_setup_failed", 0.85
    if "torch-global-deps" in found:
        return "mixed_cuda_libs", 0.85
    same_major = asked and report.torch_cuda.split(".")[0] == asked.group(1)
    if same_major and "cudart" not in match.line_lowered:
        return "mixed_cuda_libs", 0.8
    return None


def _forbidden(report: Report, found: Found) -> Optional[tuple[str, float]]:
    return ("hf_token_invalid", 0.6) if "token-bad" in found else None


def _gated(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if "token-bad" in found:
        return "hf_token_invalid", 0.6
    return ("hf_token_missing", 0.6) if {"token-401", "token-none"} & found.keys() else None


def _password(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if "whoami" in found:
        return "hf_token_invalid", 0.9
    if {"repo-404", "token-401"} & found.keys():
        return "hf_token_missing", 0.75
    return None


def _repository(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if {"hub-connect", "hub-network"} & found.keys():
        return "hf_hub_unreachable", 0.6
    return None


def _watchdog(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if "p2p-path" in found and "preprocessing" not in found:
        return "nccl_p2p_broken", 0.8
    return None


def _xformers(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if any("+cpu" in match.text for match in found.get("xformers-build", ())):
        return "cpu_only_torch", 0.95
    return ("cpu_only_torch", 0.9) if _is_cpu_build(report) else None


def _device_assert(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """A NaN in sampling raises the same assert and is no fault of ids or environment."""
    if "prob-tensor" in found and "device-index" not in found:
        return "device_side_assert_token_ids", 0.2
    return None


def _disk(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if {"shm-nccl", "shm-text", "shm-torch-file"} & found.keys():
        return "shm_too_small", 0.93
    return None


def _ordinal(report: Report, found: Found) -> Optional[tuple[str, float]]:
    return ("mig_single_instance_visible", 0.93) if "mig-instance" in found else None


def _busy(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """WSL has no compute modes: there the paravirtualised device is what fails."""
    return ("wsl_gpu_not_exposed", 0.75) if report.platform == "wsl" else None


def _smi_segfault(report: Report, found: Found) -> Optional[tuple[str, float]]:
    return ("wsl_gpu_not_exposed", 0.75) if report.platform == "wsl" else None


def _torch_symbol(report: Report, found: Found) -> Optional[tuple[str, float]]:
    line = found["torch-symbol"][0].line_lowered
    for word, cause_id in (
        ("torchvision", "torchvision_torchaudio_mismatch"),
        ("torchaudio", "torchvision_torchaudio_mismatch"),
        ("xformers", "xformers_torch_mismatch"),
    ):
        if word in line:
            return cause_id, 0.93
    return None


def _bus(report: Report, found: Found) -> Optional[tuple[str, float]]:
    return None if report.is_container or "shm-text" in found else ("shm_too_small", 0.75)


def _bf16(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if _is_cpu_build(report):
        return "cpu_only_torch", 0.9
    return ("no_nvidia_gpu", 0.8) if report.platform == "macos" else None


Meaning = Callable[[Report, Found], Optional[tuple[str, float]]]
MEANINGS: dict[str, Meaning] = {
    "torch-no-driver": _no_driver,
    "nvml-not-found": _no_driver,
    "libcuda-missing": _libcuda,
    "libnvml-missing": _libnvml,
    "no-device": _no_device,
    "no-cuda-gpus": _no_gpus,
    "smi-not-found": _smi_not_found,
    "no-kernel-image": _no_kernel,
    "invalid-device-function": _no_kernel,
    "gpu-incompatible-short": _no_kernel,
    "gpu-no-kernels": _no_kernels_warning,
    "not-compiled": _cpu_build,
    "load-on-cpu": _cpu_build,
    "no-nccl-built": _no_nccl,
    "bnb-needs-gpu": _bitsandbytes,
    "bnb-no-device": _bitsandbytes,
    "bnb-cpu-library": _bitsandbytes,
    "bnb-load-error": _bitsandbytes,
    "bnb-binary-missing": _bnb_binary,
    "bnb-library-missing": _bnb_library_missing,
    "libcuda-so-missing": _libcuda_so,
    "cudart-missing": _cudart,
    "cudart-dll": _cudart_dll,
    "gated-403": _forbidden,
    "gated-plain": _gated,
    "token-password": _password,
    "repo-404": _repository,
    "nccl-watchdog": _watchdog,
    "store-timeout": _watchdog,
    "xformers-build": _xformers,
    "xformers-operator": _xformers,
    "device-assert": _device_assert,
    "disk-full": _disk,
    "bad-ordinal": _ordinal,
    "bad-device-name": _ordinal,
    "device-assert-index": _ordinal,
    "gpu-busy": _busy,
    "smi-segfault": _smi_segfault,
    "bnb-no-gpu": _bitsandbytes,
    "torch-symbol": _torch_symbol,
    "shm-bus": _bus,
    "bf16-setup": _bf16,
}


# ---- rules over the facts


def _line_of(report: Report, *facts: str) -> tuple[Match, ...]:
    return tuple(report.matches[fact] for fact in facts if fact in report.matches)


def _lines(found: Found, id: str) -> str:
    return "\n".join(match.line_lowered for match in found.get(id, ()))


def _capabilities(report: Report) -> tuple[str, ...]:
    return report.capabilities or tuple(card.capability for card in report.gpus)


def _is_cpu_build(report: Report) -> bool:
    return report.torch.endswith("+cpu")


def _build(report: Report) -> Optional[support.TorchBuild]:
    tag = support.tag_of_cuda(report.torch_cuda) if report.torch_cuda not in ("", "none") else ""
    if report.torch:
        return support.torch_build(report.torch, tag, report.machine)
    if not tag:
        return None
    lines = (support.torch_build(line, tag, report.machine) for line in support.torch_lines())
    return next((build for build in lines if build), None)


def _fit(report: Report) -> str:
    """Return how the least fitting GPU stands to the printed or tabled list; "" if unknown."""
    capabilities = _capabilities(report)
    build = _build(report)
    architectures = report.sm_list or (build.architectures if build else ())
    if not capabilities or not architectures:
        return ""
    fits = [support.gpu_fit(each, architectures) for each in capabilities]
    return next((fit for fit in ("too-old", "too-new") if fit in fits), "fits")


def rule_driver_floor(report: Report, found: Found) -> Iterator[Evidence]:
    """The driver is below the floor of torch's CUDA, and torch does not say that CUDA works."""
    if not report.driver or report.torch_cuda in ("", "none") or report.cuda_available:
        return
    platform = "wsl" if report.platform in ("wsl", "windows") else "linux"
    if support.driver_runs(report.driver, report.torch_cuda, platform) is False:
        floor = support.driver_floor(report.torch_cuda, platform)
        assert floor is not None
        why = (
            f"Driver {report.driver} is below {floor.minimum}, "
            f"the floor of CUDA {report.torch_cuda}."
        )
        yield Evidence(
            "driver_too_old_for_cuda",
            0.88,
            why,
            _line_of(report, "driver", "torch_cuda"),
            "driver-floor",
        )


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
    lines = _line_of(report, "torch", "torch_cuda")
    complains = found.keys() & _NEEDS_CUDA
    if _is_cpu_build(report) and report.cuda_available is not True and (has_gpu or complains):
        strength = 0.93 if has_gpu else 0.8
        yield Evidence(
            "cpu_only_torch", strength, f"torch {report.torch} is a CPU build.", lines, "cpu-build"
        )
    elif report.torch_cuda == "none" and has_gpu and report.cuda_available is False:
        why = "torch was built without CUDA, although the machine has a GPU."
        yield Evidence("cpu_only_torch", 0.85, why, lines, "cpu-build")


def rule_gpu_fit(report: Report, found: Found) -> Iterator[Evidence]:
    """The GPU is outside the architectures of the build."""
    fit = _fit(report)
    complains = {
        "gpu-incompatible",
        "gpu-incompatible-short",
        "gpu-cc-warning",
        "gpu-cc-supported",
    } & found.keys()
    if fit not in ("too-old", "too-new") or not (complains or "no-kernel-image" in found):
        return
    cause_id = "gpu_arch_dropped" if fit == "too-old" else "gpu_arch_not_in_wheel"
    capability = ", ".join(_capabilities(report))
    architectures = report.sm_list or getattr(_build(report), "architectures", ())
    listed = ", ".join(architectures)
    why = f"The GPU is compute capability {capability}; the build has code for {listed}."
    lines = tuple(match for id in sorted(complains) for match in found[id][:1])
    yield Evidence(cause_id, 0.96, why, lines + _line_of(report, "gpu"), "gpu-fit")


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
    if _fit(report) not in ("too-old", "too-new") or report.sm_list or not report.torch:
        return
    if any(id in found for id in ("gpu-incompatible", "no-kernel-image", "gpu-cc-warning")):
        return
    released = re.fullmatch(r"\d+\.\d+\.\d+\+cu\d+", report.torch)
    if not report.gpus or not released:  # source and conda builds have lists of their own
        return
    cause_id = "gpu_arch_dropped" if _fit(report) == "too-old" else "gpu_arch_not_in_wheel"
    build = _build(report)
    listed = ", ".join(build.architectures) if build else ""
    card = report.gpus[0]
    why = f"{card.name} ({card.capability}) is outside the build's list: {listed}."
    yield Evidence(cause_id, 0.6, why, _line_of(report, "gpu", "torch"), "known-misfit")


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
        "forward_compat_unsupported_hw", 0.93, why, _line_of(report, "smi_cuda"), "compat-library"
    )


def rule_companion(report: Report, found: Found) -> Iterator[Evidence]:
    """torchvision or torchaudio of another torch release or CUDA tag."""
    failing = bool(
        {"vision-ops", "vision-symbol", "vision-cuda", "cudart-missing", "torch-symbol"}
        & found.keys()
    )
    for package in ("torchvision", "torchaudio"):
        installed = getattr(report, package)
        if not installed or not report.torch:
            continue
        tags = [text.partition("+")[2] for text in (installed, report.torch)]
        wrong_tag = all(tags) and tags[0] != tags[1]
        wrong_line = support.companion_fits(package, installed, report.torch) is False
        if wrong_tag or (wrong_line and failing):
            why = f"{package} {installed} does not belong to torch {report.torch}."
            strength = 0.9 if failing else 0.55
            yield Evidence(
                "torchvision_torchaudio_mismatch",
                strength,
                why,
                _line_of(report, package, "torch"),
                "companion",
            )


def rule_mig(report: Report, found: Found) -> Iterator[Evidence]:
    """MIG instances, and a process that sees one device or none."""
    mig = found.get("mig-instance", [])
    symptoms = {
        "no-cuda-gpus",
        "nccl-duplicate",
        "mig-torch-assert",
        "no-device",
        "too-many-requested",
        "bad-ordinal",
    }
    count = report.device_count
    devices = [match for match in mig if re.search(r"device\s+\d+:", match.line_lowered)]
    alone = count == 0 or (count == 1 and len(devices) > 1)
    if mig and (alone or symptoms & found.keys()):
        yield Evidence("mig_single_instance_visible", 0.95, "", tuple(mig[:3]), "mig")


def rule_wsl_driver(report: Report, found: Found) -> Iterator[Evidence]:
    """A Linux driver package inside WSL."""
    packages = found.get("wsl-driver-package", [])
    if packages and report.platform == "wsl":
        yield Evidence("wsl_driver_installed_inside", 0.93, "", tuple(packages[:2]), "wsl-driver")
    elif packages and "mount-exists" in found:
        yield Evidence("wsl_driver_installed_inside", 0.6, "", tuple(packages[:2]), "wsl-driver")


def rule_wsl_mount(report: Report, found: Found) -> Iterator[Evidence]:
    """`file exists` under WSL, where the distro itself is what clashes."""
    if "mount-exists" in found and report.platform == "wsl" and "wsl-driver-package" not in found:
        yield Evidence(
            "wsl_driver_installed_inside", 0.7, "", tuple(found["mount-exists"][:1]), "wsl-mount"
        )


def rule_wsl_tcc(report: Report, found: Found) -> Iterator[Evidence]:
    """A card in TCC mode is not projected into WSL."""
    rows = found.get("wsl-tcc", [])
    if rows and (report.platform == "wsl" or "wsl-blocked" in found):
        yield Evidence(
            "wsl_gpu_not_exposed", 0.9, "The card is in TCC mode.", tuple(rows[:1]), "wsl-tcc"
        )


def rule_p2p_bandwidth(report: Report, found: Found) -> Iterator[Evidence]:
    """The bandwidth test is slower with peer-to-peer than without."""
    for match in found.get("p2p-matrix", ()):
        without, with_p2p = match.groups[0], match.groups[1]
        slow, fast = _off_diagonal(with_p2p), _off_diagonal(without)
        if slow and fast and max(slow) < 0.6 * max(fast):
            why = f"At most {max(slow):g} GB/s with peer-to-peer, {max(fast):g} without."
            yield Evidence("nccl_p2p_broken", 0.93, why, (match,), "p2p-bandwidth")
            return


def _off_diagonal(matrix: str) -> list[float]:
    values = []
    for row in matrix.splitlines():
        numbers = re.findall(r"\d+(?:\.\d+)?", row)
        if len(numbers) > 2 and "." in row:
            index = int(float(numbers[0]))
            values += [float(each) for place, each in enumerate(numbers[1:]) if place != index]
    return values


def rule_docker_run(report: Report, found: Found) -> Iterator[Evidence]:
    """A container was started without GPU access and then sees no GPU."""
    match = report.matches.get("docker_run")
    asks = r"--gpus|nvidia|--device|--privileged"
    symptoms = {"no-device", "torch-no-driver", "libcuda-missing", "no-cuda-gpus", "smi-not-found"}
    sees_none = report.cuda_available is False or bool(symptoms & found.keys())
    if match and sees_none and not re.search(asks, match.line_lowered):
        why = "The container was started without --gpus."
        yield Evidence("container_no_gpu_flag", 0.84, why, (match,), "docker-run")


def rule_p2p_hang(report: Report, found: Found) -> Iterator[Evidence]:
    """NCCL chose peer-to-peer, or consumer cards wait, and the job hangs."""
    consumer = any(card.kind == "consumer" for card in report.gpus)
    waits = found.keys() & (
        {"nccl-watchdog", "p2p-hang"} if "iommu" in found else {"nccl-watchdog"}
    )
    if waits and "ranks" in found and ("iommu" in found or consumer):
        strength = 0.7 if "iommu" in found else 0.45
        if "preprocessing" not in found:
            lines = tuple(found[id][0] for id in sorted(waits))
            yield Evidence("nccl_p2p_broken", strength, "", lines, "p2p-hang")
    if "p2p-path" in found and "p2p-hang" in found:
        yield Evidence("nccl_p2p_broken", 0.75, "", tuple(found["p2p-path"][:1]), "p2p-hang")


_SIZE = r"([\d.]+) ?([gmk])i?b"


def _gib(pattern: str, text: str) -> Optional[float]:
    found = re.search(pattern, text)
    if not found:
        return None
    try:
        return float(found.group(1)) / {"g": 1, "m": 1024, "k": 1024**2}[found.group(2)]
    except ValueError:
        return None


def rule_oom(report: Report, found: Found) -> Iterator[Evidence]:
    """GPU memory is exhausted: by this job, or mostly by another process."""
    matches = found.get("oom-cuda", [])
    if not matches:
        return
    text = max((match.line_lowered for match in matches), key=len)
    total = _gib(rf"(?:total )?capacity (?:of )?{_SIZE}", text) or _gib(
        rf"{_SIZE} total capacity", text
    )
    free = _gib(rf"of which {_SIZE} is free", text) or _gib(rf"{_SIZE} free", text) or 0.0
    own = _gib(rf"allocated memory {_SIZE} is allocated by pytorch", text) or _gib(
        rf"{_SIZE} already allocated", text
    )
    reserved = _gib(rf"{_SIZE} is reserved by pytorch but", text) or 0.0
    reserved_total = _gib(rf"{_SIZE} reserved in total", text)
    mine = max((own or 0.0) + reserved, reserved_total or 0.0)
    lines = tuple(matches[:2])
    if total and own is not None and total - free - mine > 0.4 * total:
        why = f"This process holds {mine:.1f} of {total:.1f} GiB, and {free:.1f} GiB are free."
        yield Evidence("oom_gpu_used_by_other_process", 0.93, why, lines, "oom")
        yield Evidence("oom_model_too_large", 0.5, "", lines, "oom")
        return
    others = found.get("oom-process", [])
    if len(others) > 1 and own is None:
        yield Evidence(
            "oom_gpu_used_by_other_process",
            0.85,
            "Several processes hold memory.",
            tuple(others[:3]),
            "oom",
        )
        yield Evidence("oom_model_too_large", 0.5, "", lines, "oom")
        return
    sized = "allocate" in text or "outofmemoryerror" in text
    yield Evidence("oom_model_too_large", 0.9 if sized else 0.65, "", lines, "oom")
    if not sized or others:
        yield Evidence("oom_gpu_used_by_other_process", 0.45, "", lines, "oom")


def rule_bnb_library(report: Report, found: Found) -> Iterator[Evidence]:
    """The named bitsandbytes release has no library for torch's CUDA, and it fails."""
    if not report.bitsandbytes or report.torch_cuda in ("", "none"):
        return
    if not any(id.startswith("bnb-") for id in found) or not support.bnb_cudas(report.bitsandbytes):
        return
    if support.bnb_library(report.bitsandbytes, report.torch_cuda) is None:
        have = ", ".join(support.bnb_cudas(report.bitsandbytes))
        why = (
            f"bitsandbytes {report.bitsandbytes} has libraries for {have}, "
            f"not for CUDA {report.torch_cuda}."
        )
        yield Evidence(
            "bnb_missing_cuda_lib",
            0.85,
            why,
            _line_of(report, "bitsandbytes", "torch_cuda"),
            "bnb-library",
        )


def rule_triton_pair(report: Report, found: Found) -> Iterator[Evidence]:
    """triton is not the one the torch line pins, and triton fails."""
    wanted = support.triton_of(report.torch) if report.torch else None
    if not wanted or not report.triton or not any(id.startswith("triton-") for id in found):
        return
    if support.minor(wanted) != support.minor(report.triton):
        why = f"torch {report.torch} pins triton {wanted}; {report.triton} is installed."
        yield Evidence(
            "triton_torch_mismatch", 0.85, why, _line_of(report, "triton", "torch"), "triton-pair"
        )


Rule = Callable[[Report, Found], Iterator[Evidence]]
RULES: tuple[Rule, ...] = (
    rule_driver_floor,
    rule_cpu_build,
    rule_gpu_fit,
    rule_capability_range,
    rule_known_misfit,
    rule_compat_library,
    rule_companion,
    rule_mig,
    rule_wsl_driver,
    rule_wsl_mount,
    rule_wsl_tcc,
    rule_p2p_bandwidth,
    rule_p2p_hang,
    rule_docker_run,
    rule_oom,
    rule_bnb_library,
    rule_triton_pair,
)
