"""In which layer a cause shows in this text: most causes have one, some are met in several."""

from __future__ import annotations

import re
from collections.abc import Sequence

from env_check.explain.causes import Cause
from env_check.explain.evidence import Evidence
from env_check.explain.report import Report

_ENGINE = re.compile(
    r"nvidia-container-cli|error response from daemon|oci runtime|container was built for|"
    r"in this container"
)
_EXTENSION = re.compile(r"flash_?attn|triton|xformers")
_DRIVER_CAUSES = (
    "driver_too_old_for_cuda",
    "forward_compat_unsupported_hw",
    "nvml_version_mismatch_reboot",
    "driver_missing_or_not_loaded",
)
_BINARY_CAUSES = ("gpu_arch_dropped", "glibc_or_libstdcxx_too_old", "cuda_major_mismatch_extension")


def layer_of(cause: Cause, items: Sequence[Evidence], report: Report) -> str:
    """Return the layer where the cause speaks, which is the cause's own unless the lines differ."""
    rules = {each.rule for each in items}
    lines = "\n".join(match.line_lowered for each in items for match in each.matches)
    if cause.id in _DRIVER_CAUSES and (_ENGINE.search(lines) or "compat-library" in rules):
        return "container-runtime"
    if cause.id in _BINARY_CAUSES and _EXTENSION.search(lines):
        return "flash-attn/triton"
    if cause.id == "container_image_bundles_driver_libs" and report.platform == "wsl":
        return "wsl"
    if cause.id == "mig_single_instance_visible" and "duplicate gpu" in lines:
        return "nccl"
    if cause.id == "no_nvidia_gpu" and not any(rule.startswith("bnb-") for rule in rules):
        return "driver" if "smi-not-found" in rules else "torch"
    return cause.layer
