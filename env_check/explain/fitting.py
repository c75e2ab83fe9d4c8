"""How the GPUs of a text stand to the torch build it names."""

from __future__ import annotations

from typing import Optional

from env_check import support
from env_check.explain.evidence import Found
from env_check.explain.report import Report


def capabilities_of(report: Report) -> tuple[str, ...]:
    return report.capabilities or tuple(card.capability for card in report.gpus)


def build_of(report: Report) -> Optional[support.TorchBuild]:
    tag = support.tag_of_cuda(report.torch_cuda) if report.torch_cuda not in ("", "none") else ""
    if report.torch:
        return support.torch_build(report.torch, tag, report.machine)
    if not tag:
        return None
    lines = (support.torch_build(line, tag, report.machine) for line in support.torch_lines())
    return next((build for build in lines if build), None)


def fit_of(report: Report) -> str:
    """Return how the least fitting GPU stands to the printed or tabled list; "" if unknown."""
    capabilities = capabilities_of(report)
    build = build_of(report)
    architectures = report.sm_list or (build.architectures if build else ())
    if not capabilities or not architectures:
        return ""
    fits = [support.gpu_fit(each, architectures) for each in capabilities]
    return next((fit for fit in ("too-old", "too-new") if fit in fits), "fits")


def has_no_nvidia(report: Report, found: Found) -> bool:
    """Tell whether the text shows a machine of another make and names no NVIDIA device."""
    if report.platform == "macos" or report.is_amd:
        return True
    said = "intel-graphics" in found or "no-gpu-own-words" in found
    return said and not report.gpus and not report.driver
