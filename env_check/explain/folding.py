"""Which cause follows from which: a broken lower layer makes the ones above it complain too."""

from __future__ import annotations

ROOT_CONFIDENCE = 0.65  # below this a cause explains nothing else

_NO_GPU_SEEN = (
    "cuda_device_index_invalid", "no_nvidia_gpu", "bnb_cuda_setup_failed", "bnb_missing_cuda_lib",
    "cuda_unknown_error_stale_driver_state", "bf16_unsupported", "triton_no_compiler",
)  # fmt: skip
_RANKS_GAVE_UP = ("nccl_timeout_slow_rank", "nccl_network_interface")

# root → what it explains. A pair that explains each other is decided by confidence.
FOLLOWS: dict[str, tuple[str, ...]] = {
    "cuda_unknown_error_stale_driver_state": ("cuda_device_index_invalid",
                                              "driver_missing_or_not_loaded",
                                              "bnb_cuda_setup_failed"),
    "gpu_exclusive_mode": ("cuda_device_index_invalid", "cuda_unknown_error_stale_driver_state"),
    "flash_attn_unsupported_gpu": ("gpu_arch_dropped", "hf_stack_version_conflict"),
    "xformers_torch_mismatch": ("gpu_arch_not_in_wheel", "hf_stack_version_conflict"),
    "gpu_hardware_xid": (*_NO_GPU_SEEN, *_RANKS_GAVE_UP, "driver_missing_or_not_loaded",
                         "nccl_p2p_broken"),
    "nvml_version_mismatch_reboot": (*_NO_GPU_SEEN, "forward_compat_unsupported_hw",
                                     "driver_missing_or_not_loaded", "container_no_gpu_flag",
                                     "container_toolkit_missing", "driver_too_old_for_cuda"),
    "driver_missing_or_not_loaded": (*_NO_GPU_SEEN, "container_no_gpu_flag", "cpu_only_torch"),
    "driver_too_old_for_cuda": (*_NO_GPU_SEEN, "ptx_newer_than_driver", "flash_attn_abi_mismatch"),
    "forward_compat_unsupported_hw": (*_NO_GPU_SEEN, "driver_too_old_for_cuda",
                                      "driver_missing_or_not_loaded"),
    "fabric_manager_not_running": (*_NO_GPU_SEEN, "driver_missing_or_not_loaded"),
    "ptx_newer_than_driver": ("driver_too_old_for_cuda", "bnb_cuda_setup_failed",
                              "triton_arch_unsupported"),
    "mig_single_instance_visible": ("cuda_device_index_invalid", "nccl_duplicate_gpu"),
    "wsl_driver_installed_inside": (*_NO_GPU_SEEN, "nvml_version_mismatch_reboot",
                                    "container_image_bundles_driver_libs",
                                    "wsl_gpu_not_exposed", "wsl_libcuda_not_found",
                                    "driver_missing_or_not_loaded", "container_no_gpu_flag"),
    "wsl_gpu_not_exposed": (*_NO_GPU_SEEN, "driver_missing_or_not_loaded", "container_no_gpu_flag"),
    "wsl_libcuda_not_found": (*_NO_GPU_SEEN, "driver_missing_or_not_loaded"),
    "container_toolkit_missing": (*_NO_GPU_SEEN, "container_no_gpu_flag",
                                  "driver_missing_or_not_loaded"),
    "container_no_gpu_flag": (*_NO_GPU_SEEN, "driver_missing_or_not_loaded", "cpu_only_torch"),
    "container_lost_gpu_cgroup": (*_NO_GPU_SEEN, "driver_missing_or_not_loaded",
                                  "container_no_gpu_flag"),
    "container_image_bundles_driver_libs": ("nvml_version_mismatch_reboot",),
    "cpu_only_torch": (*_NO_GPU_SEEN, "xformers_torch_mismatch", "torchvision_torchaudio_mismatch"),
    "no_nvidia_gpu": ("bnb_cuda_setup_failed", "bnb_missing_cuda_lib", "cpu_only_torch",
                      "driver_missing_or_not_loaded", "bf16_unsupported", "container_no_gpu_flag"),
    "gpu_arch_not_in_wheel": ("triton_arch_unsupported", "bnb_cuda_setup_failed",
                              "ptx_newer_than_driver"),
    "gpu_arch_dropped": ("bnb_cuda_setup_failed", "ptx_newer_than_driver", "gpu_arch_not_in_wheel"),
    "bnb_missing_cuda_lib": ("bnb_cuda_setup_failed", "cuda_major_mismatch_extension",
                             "no_nvidia_gpu"),
    "bnb_cuda_setup_failed": ("cuda_major_mismatch_extension",),
    "torchvision_torchaudio_mismatch": ("flash_attn_abi_mismatch", "hf_stack_version_conflict"),
    "numpy_abi_mismatch": ("hf_stack_version_conflict",),
    "triton_torch_mismatch": ("hf_stack_version_conflict", "triton_no_compiler"),
    "triton_arch_unsupported": ("triton_no_compiler",),
    "triton_no_compiler": ("nvcc_missing_for_build",),
    "flash_attn_abi_mismatch": ("hf_stack_version_conflict",),
    "nvcc_torch_cuda_mismatch": ("nvcc_missing_for_build",),
    "glibc_or_libstdcxx_too_old": ("hf_stack_version_conflict", "bnb_cuda_setup_failed"),
    "nccl_duplicate_gpu": _RANKS_GAVE_UP,
    "nccl_p2p_broken": _RANKS_GAVE_UP,
    "shm_too_small": (*_RANKS_GAVE_UP, "disk_full_cache", "oom_host_killed"),
    "disk_full_cache": (*_RANKS_GAVE_UP, "hf_hub_unreachable", "oom_host_killed"),
    "oom_host_killed": (*_RANKS_GAVE_UP, "shm_too_small"),
    "oom_model_too_large": (*_RANKS_GAVE_UP, "oom_host_killed"),
    "oom_gpu_used_by_other_process": (*_RANKS_GAVE_UP, "oom_model_too_large", "oom_host_killed"),
    "device_side_assert_token_ids": (*_RANKS_GAVE_UP, "cuda_unknown_error_stale_driver_state"),
    "hf_token_invalid": ("hf_token_missing", "gated_model_no_access"),
    "gated_model_no_access": ("hf_token_missing", "hf_hub_unreachable"),
    "hf_token_missing": ("hf_hub_unreachable",),
    "hf_hub_unreachable": ("hf_token_missing",),
}  # fmt: skip


def follows_from(id: str, confidence: dict[str, float]) -> bool:
    """Tell whether a surer (or as sure) cause explains this one."""
    for root, value in confidence.items():
        if root == id or value < ROOT_CONFIDENCE or id not in FOLLOWS.get(root, ()):
            continue
        mutual = root in FOLLOWS.get(id, ())
        if not mutual or value > confidence[id]:
            return True
    return False
