"""What messages of compiled extensions mean on the machine of the text."""

from __future__ import annotations

from env_check import support
from env_check.explain.evidence import Found, lines_of
from env_check.explain.fitting import capabilities_of, has_no_nvidia
from env_check.explain.meanings.meaning import Judgement, Meaning
from env_check.explain.report import Report


def _bitsandbytes(report: Report, found: Found) -> Judgement:
    if has_no_nvidia(report, found):
        return "no_nvidia_gpu", 0.9
    if report.is_cpu_build:
        return "cpu_only_torch", 0.9
    return None


def _no_gpu_for_unsloth(report: Report, found: Found) -> Judgement:
    """Unsloth asks torch, and torch sees no card that the text names."""
    has_card = bool(report.gpus or report.driver) and not has_no_nvidia(report, found)
    if not has_card or report.platform == "wsl":
        return None
    if report.is_container:
        return "container_no_gpu_flag", 0.7
    return "cpu_only_torch", 0.75


def _bnb_binary(report: Report, found: Found) -> Judgement:
    if "bnb-override" in found:
        return "bnb_cuda_setup_failed", 0.95
    return None


def _bnb_library_missing(report: Report, found: Found) -> Judgement:
    if report.platform == "macos" or report.is_amd:
        return "no_nvidia_gpu", 0.93
    return _bnb_binary(report, found)


def _libcuda_so(report: Report, found: Found) -> Judgement:
    if report.platform == "wsl":
        return "wsl_libcuda_not_found", 0.93
    if report.platform == "windows":
        return "bnb_cuda_setup_failed", 0.7
    triton_asks = "cannot found" in lines_of(found, "libcuda-so-missing")
    return ("triton_no_compiler", 0.75) if triton_asks else None


def _launcher(report: Report, found: Found) -> Judgement:
    """Under WSL the linker looks where libcuda is not."""
    asks_libcuda = "-lcuda" in lines_of(found, "triton-launcher")
    if report.platform == "wsl" and asks_libcuda and "triton-headers" not in found:
        return "wsl_libcuda_not_found", 0.94
    return None


def _triton_none(report: Report, found: Found) -> Judgement:
    """torch finds no triton it can use: none, or one of another release."""
    if report.platform == "windows" and not report.triton:
        return "triton_no_compiler", 0.6
    return ("triton_torch_mismatch", 0.85) if report.triton else None


def _triton_passes(report: Report, found: Found) -> Judgement:
    """The compiler's own error; on GPUs before Ampere it stands for a missing instruction."""
    old = any(support.minor(each) < (8, 0) for each in capabilities_of(report))
    return ("triton_arch_unsupported", 0.88) if old else None


def _xformers(report: Report, found: Found) -> Judgement:
    if any("+cpu" in match.text for match in found.get("xformers-build", ())):
        return "cpu_only_torch", 0.95
    return ("cpu_only_torch", 0.9) if report.is_cpu_build else None


def _torch_symbol(report: Report, found: Found) -> Judgement:
    line = found["torch-symbol"][0].line_lowered
    for word, cause_id in (
        ("torchvision", "torchvision_torchaudio_mismatch"),
        ("torchaudio", "torchvision_torchaudio_mismatch"),
        ("xformers", "xformers_torch_mismatch"),
    ):
        if word in line:
            return cause_id, 0.93
    return None


MEANINGS: dict[str, Meaning] = {
    "bnb-needs-gpu": _bitsandbytes,
    "bnb-no-device": _bitsandbytes,
    "mixed-needs-gpu": _bitsandbytes,
    "webui-no-gpu": _bitsandbytes,
    "bnb-despite-gpu": _bitsandbytes,
    "bnb-cpu-library": _bitsandbytes,
    "bnb-load-error": _bitsandbytes,
    "bnb-binary-missing": _bnb_binary,
    "bnb-library-missing": _bnb_library_missing,
    "libcuda-so-missing": _libcuda_so,
    "xformers-build": _xformers,
    "xformers-operator": _xformers,
    "triton-launcher": _launcher,
    "triton-passes": _triton_passes,
    "triton-none": _triton_none,
    "bnb-no-gpu": _bitsandbytes,
    "torch-symbol": _torch_symbol,
    "unsloth-no-gpu": _no_gpu_for_unsloth,
}
