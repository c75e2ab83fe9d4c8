"""Which cause an ambiguous message means on the machine of the text.

A meaning gives a cause and a strength, or None where the signature's own cause stands.
"""

from __future__ import annotations

import re
from typing import Callable, Optional

from env_check import support
from env_check.explain.evidence import Found
from env_check.explain.fitting import capabilities_of, fit_of
from env_check.explain.report import Report


def _lines(found: Found, id: str) -> str:
    return "\n".join(match.line_lowered for match in found.get(id, ()))


def _driver_asked(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """A driver as new as the one that is asked for is no fault."""
    asked = re.findall(r"\b\d{3}\.\d{2,3}(?:\.\d+)?", _lines(found, "driver-minimum"))
    met = report.driver and any(
        support.version(report.driver) >= support.version(each) for each in asked
    )
    return ("driver_too_old_for_cuda", 0.2) if met else None


def _has_no_nvidia(report: Report, found: Found) -> bool:
    """Tell whether the text shows a machine of another make and names no NVIDIA device."""
    if report.platform == "macos" or report.is_amd:
        return True
    return "intel-graphics" in found and not report.gpus and not report.driver


def _no_driver(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if _has_no_nvidia(report, found):
        return "no_nvidia_gpu", 0.9
    if "smi-no-driver" in found:
        return "driver_missing_or_not_loaded", 0.9
    if report.platform == "wsl":
        return "wsl_gpu_not_exposed", 0.6
    if report.is_container:
        return "container_no_gpu_flag", 0.82
    return None


def _wsl_sees_none(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """WSL has no kernel module: Windows did not hand over the GPU."""
    if report.platform == "wsl":
        return "wsl_gpu_not_exposed", 0.8
    return None


def _device_nodes(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """WSL has no /dev/nvidia*; a container gets them from its engine."""
    if report.platform == "wsl":
        return "driver_missing_or_not_loaded", 0.2
    if report.is_container and "smi-no-driver" not in found:
        return "container_no_gpu_flag", 0.75
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
    if report.platform == "wsl":
        return "wsl_gpu_not_exposed", 0.7
    if report.is_container and not report.driver:
        return "container_no_gpu_flag", 0.7
    return None


def _init_failed(report: Report, found: Found) -> Optional[tuple[str, float]]:
    return ("container_no_gpu_flag", 0.6) if report.is_container and not report.driver else None


def _smi_not_found(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if report.platform == "wsl" and not report.is_container:
        return "wsl_gpu_not_exposed", 0.5
    if report.platform == "macos":
        return "no_nvidia_gpu", 0.8
    if "pci-nvidia" in found and not report.is_container:
        return "driver_missing_or_not_loaded", 0.85
    return ("container_no_gpu_flag", 0.85) if report.is_container else None


def _no_kernel(report: Report, found: Found) -> Optional[tuple[str, float]]:
    fit = fit_of(report)
    if fit == "too-old":
        return "gpu_arch_dropped", 0.93
    if fit in ("too-new", "jit"):
        return "gpu_arch_not_in_wheel", 0.93
    if report.gpus or report.capabilities:
        old = max(map(support.minor, capabilities_of(report))) < (7, 5)
        return ("gpu_arch_dropped", 0.75) if old else ("gpu_arch_not_in_wheel", 0.75)
    return None


def _invalid_image(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """A GPU newer than the build shows as an invalid image too."""
    if fit_of(report) in ("too-new", "jit"):
        return "gpu_arch_not_in_wheel", 0.85
    return ("gpu_arch_dropped", 0.85) if fit_of(report) == "too-old" else None


def _no_kernels_warning(report: Report, found: Found) -> Optional[tuple[str, float]]:
    return ("gpu_arch_not_in_wheel", 0.9) if fit_of(report) in ("too-new", "jit") else None


def _cpu_build(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if report.platform == "macos" or report.is_amd:
        return "no_nvidia_gpu", 0.93
    return None


def _no_nccl(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """On Windows and macOS no build of torch has NCCL."""
    has_cuda = report.torch_cuda not in ("", "none")
    return ("cpu_only_torch", 0.2) if has_cuda or report.platform == "windows" else None


def _bitsandbytes(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if _has_no_nvidia(report, found):
        return "no_nvidia_gpu", 0.9
    if report.is_cpu_build:
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


def _libcuda_prose(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """TensorFlow says it on every machine without a GPU: there it is no fault."""
    if report.platform == "wsl":
        return "wsl_libcuda_not_found", 0.75
    if "tensorflow" in _lines(found, "libcuda-prose") or "could not find cuda drivers" in _lines(
        found, "libcuda-prose"
    ):
        return "driver_missing_or_not_loaded", 0.2
    return ("container_no_gpu_flag", 0.7) if report.is_container else None


def _wheel_library(report: Report, found: Found) -> Optional[tuple[str, float]]:
    return ("mixed_cuda_libs", 0.2) if "tensorflow-goes-on" in found else None


def _cudart(report: Report, found: Found) -> Optional[tuple[str, float]]:
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


def _launcher(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """Under WSL the linker looks where libcuda is not."""
    asks_libcuda = "-lcuda" in _lines(found, "triton-launcher")
    if report.platform == "wsl" and asks_libcuda and "triton-headers" not in found:
        return "wsl_libcuda_not_found", 0.94
    return None


def _needs_apple(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """What asks for CUDA on a Mac cannot be mended by another version."""
    line = _lines(found, "hf-required") + _lines(found, "cuda-home")
    if report.platform == "macos" and ("bitsandbytes" in line or "cuda_home" in line):
        return "no_nvidia_gpu", 0.9
    return None


def _torch_library(report: Report, found: Found) -> Optional[tuple[str, float]]:
    return ("cpu_only_torch", 0.93) if report.is_cpu_build else None


def _triton_passes(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """The compiler's own error; on GPUs before Ampere it stands for a missing instruction."""
    old = any(support.minor(each) < (8, 0) for each in capabilities_of(report))
    return ("triton_arch_unsupported", 0.88) if old else None


def _device_name(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if report.is_cpu_build:
        return "cpu_only_torch", 0.93
    return _ordinal(report, found)


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


def _fabric(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """Without NVSwitch the service has nothing to do, and its end is no fault."""
    consumer = report.gpus and all(card.kind == "consumer" for card in report.gpus)
    return ("fabric_manager_not_running", 0.2) if consumer or "fabric-nothing" in found else None


def _watchdog(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if "p2p-path" in found and "preprocessing" not in found:
        return "nccl_p2p_broken", 0.8
    return None


def _xformers(report: Report, found: Found) -> Optional[tuple[str, float]]:
    if any("+cpu" in match.text for match in found.get("xformers-build", ())):
        return "cpu_only_torch", 0.95
    return ("cpu_only_torch", 0.9) if report.is_cpu_build else None


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


_HF_CALLEE = re.compile(
    r"(?:accelerator\S{0,30}|trainingarguments|\w{0,20}trainer|dataloaderconfiguration|"
    r"(?:sft|dpo|grpo|ppo|kto|orpo|rm|lora|peft|bitsandbytes|dataloader)\w{0,20}config\w*)"
    r"(?:\.__init__|\.\w+)?\(\) got an unexpected|"
    r"keyword argument '(?:load_in_[48]bit|use_flash_attention_2|attn_implementation|"
    r"quantization_config|torch_dtype|dtype|keep_torch_compile|eval(?:uation)?_strategy|"
    r"processing_class|dispatch_batches|save_function|num_items_in_batch|use_seedable_sampler|"
    r"use_auth_token|cache_position|position_embeddings|logits_to_keep|past_key_values?)'"
)


_HF_SUFFIX = re.compile(r"\w(?:plugin|config|arguments|trainer|collator\w*)\.__init__\(\) got")


def _keyword(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """Only the packages' own classes and options speak of versions; others of the user's code."""
    lines = _lines(found, "hf-keyword")
    if _HF_CALLEE.search(lines):
        return "hf_stack_version_conflict", 0.85
    if "hf-packages" in found and _HF_SUFFIX.search(lines):
        return "hf_stack_version_conflict", 0.75
    return None


def _triton_none(report: Report, found: Found) -> Optional[tuple[str, float]]:
    """torch finds no triton it can use: none, or one of another release."""
    if report.platform == "windows" and not report.triton:
        return "triton_no_compiler", 0.6
    return ("triton_torch_mismatch", 0.85) if report.triton else None


def _smi_without_cuda(report: Report, found: Found) -> Optional[tuple[str, float]]:
    return ("wsl_libcuda_not_found", 0.75) if report.platform == "wsl" else None


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
    if report.is_cpu_build:
        return "cpu_only_torch", 0.9
    return ("no_nvidia_gpu", 0.8) if report.platform == "macos" else None


Meaning = Callable[[Report, Found], Optional[tuple[str, float]]]
MEANINGS: dict[str, Meaning] = {
    "driver-minimum": _driver_asked,
    "torch-no-driver": _no_driver,
    "nvml-not-found": _no_driver,
    "libcuda-missing": _libcuda,
    "libcuda-prose": _libcuda_prose,
    "libnvml-missing": _libnvml,
    "smi-no-driver": _wsl_sees_none,
    "smi-no-devices": _wsl_sees_none,
    "cli-driver-error": _wsl_sees_none,
    "device-nodes": _device_nodes,
    "no-device": _no_device,
    "no-cuda-gpus": _no_gpus,
    "cuda-init-failed": _init_failed,
    "smi-not-found": _smi_not_found,
    "no-kernel-image": _no_kernel,
    "invalid-device-function": _no_kernel,
    "gpu-incompatible-short": _no_kernel,
    "cublas-arch": _no_kernel,
    "ptx-invalid-image": _invalid_image,
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
    "wheel-library-missing": _wheel_library,
    "gated-403": _forbidden,
    "gated-plain": _gated,
    "token-password": _password,
    "repo-404": _repository,
    "fabric-version": _fabric,
    "fabric-nvswitch": _fabric,
    "nccl-watchdog": _watchdog,
    "store-timeout": _watchdog,
    "xformers-build": _xformers,
    "xformers-operator": _xformers,
    "device-assert": _device_assert,
    "disk-full": _disk,
    "bad-ordinal": _ordinal,
    "bad-device-name": _device_name,
    "triton-launcher": _launcher,
    "triton-passes": _triton_passes,
    "torch-library-missing": _torch_library,
    "hf-required": _needs_apple,
    "cuda-home": _needs_apple,
    "device-assert-index": _ordinal,
    "gpu-busy": _busy,
    "hf-keyword": _keyword,
    "triton-none": _triton_none,
    "smi-cuda-err": _smi_without_cuda,
    "smi-segfault": _smi_segfault,
    "bnb-no-gpu": _bitsandbytes,
    "torch-symbol": _torch_symbol,
    "shm-bus": _bus,
    "bf16-setup": _bf16,
}
