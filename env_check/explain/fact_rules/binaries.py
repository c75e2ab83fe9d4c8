"""Rules over compiled packages: which of them is built for another torch or CUDA."""

from __future__ import annotations

import re
from collections.abc import Iterator

from env_check import support
from env_check.explain.evidence import Evidence, Found, line_of
from env_check.explain.report import Report


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
                line_of(report, package, "torch"),
                "companion",
            )


# words in the line of a binary that does not load → whose it is; the first that is found counts
_OWNERS = (
    (r"torchvision|torchaudio", "torchvision_torchaudio_mismatch", 0.88),
    (r"xformers", "xformers_torch_mismatch", 0.88),
    (r"flash_?attn", "flash_attn_abi_mismatch", 0.9),
    (r"bitsandbytes", "bnb_cuda_setup_failed", 0.8),
    (r"triton", "triton_torch_mismatch", 0.75),
    (r"torch\\+lib\\|/torch/lib/|libtorch|nvidia/\w+/lib/", "mixed_cuda_libs", 0.6),
    (r"\.pyd\b|_cuda\b|_c\.|\b_ext\b|cxx11_?abi", "flash_attn_abi_mismatch", 0.6),
)


def rule_broken_binary(report: Report, found: Found) -> Iterator[Evidence]:
    """A compiled file does not load: whose it is says which package is of another build."""
    for match in found.get("broken-binary", ()):
        for words, cause_id, strength in _OWNERS:
            if re.search(words, match.line_lowered):
                yield Evidence(cause_id, strength, "", (match,), "broken-binary")
                break


def rule_wheel_tags(report: Report, found: Found) -> Iterator[Evidence]:
    """The wheel's name says another torch than the one that is installed."""
    for match in found.get("wheel-tags", ()):
        built_for = match.groups[1]
        if report.torch and support.minor(built_for) != support.minor(report.torch):
            why = f"The wheel is built for torch {built_for}; {report.torch} is installed."
            yield Evidence("flash_attn_abi_mismatch", 0.85, why, (match,), "wheel-tags")
            return


def rule_two_wheels(report: Report, found: Found) -> Iterator[Evidence]:
    """The CUDA libraries of two majors are installed from wheels, and one does not load."""
    wheels = found.get("nvidia-wheel", [])
    if len({match.groups[0] for match in wheels}) > 1 and "broken-binary" in found:
        why = "The nvidia wheels are of two CUDA majors."
        yield Evidence("mixed_cuda_libs", 0.8, why, (wheels[0], wheels[-1]), "two-wheels")


def rule_library_path(report: Report, found: Found) -> Iterator[Evidence]:
    """cuBLAS refuses valid calls where LD_LIBRARY_PATH brings in another one."""
    failing = [found[id][0] for id in ("cublas-value", "cudnn-error") if id in found]
    if failing and "library-path" in found:
        yield Evidence(
            "mixed_cuda_libs", 0.8, "", (found["library-path"][0], *failing), "library-path"
        )


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
            line_of(report, "bitsandbytes", "torch_cuda"),
            "bnb-library",
        )


def rule_bnb_search(report: Report, found: Found) -> Iterator[Evidence]:
    """bitsandbytes looks for the CUDA runtime, and nothing says that it found it."""
    if "bnb-searching" in found and "bnb-found" not in found:
        why = "bitsandbytes did not find libcudart on its paths."
        lines = tuple(found["bnb-searching"][:1])
        yield Evidence("bnb_cuda_setup_failed", 0.5, why, lines, "bnb-search")


def rule_triton_pair(report: Report, found: Found) -> Iterator[Evidence]:
    """triton is not the one the torch line pins, and triton fails."""
    wanted = support.triton_of(report.torch) if report.torch else None
    if not wanted or not report.triton or not any(id.startswith("triton-") for id in found):
        return
    if support.minor(wanted) != support.minor(report.triton):
        why = f"torch {report.torch} pins triton {wanted}; {report.triton} is installed."
        yield Evidence(
            "triton_torch_mismatch", 0.85, why, line_of(report, "triton", "torch"), "triton-pair"
        )


RULES = (
    rule_companion,
    rule_broken_binary,
    rule_wheel_tags,
    rule_two_wheels,
    rule_library_path,
    rule_bnb_library,
    rule_bnb_search,
    rule_triton_pair,
)
