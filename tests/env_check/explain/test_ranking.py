"""Causes are ranked: what names the fault first, what follows from it behind or not at all."""

from __future__ import annotations

import pytest

from env_check.explain import explain_text


@pytest.mark.parametrize(
    ("text", "first", "not_first"),
    [
        (
            "Failed to initialize NVML: Driver/library version mismatch\n"
            "RuntimeError: CUDA unknown error - this may be due to an incorrect environment\n"
            "CUDA Setup failed despite GPU being available\n",
            "nvml_version_mismatch_reboot",
            "bnb_cuda_setup_failed",
        ),
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n"
            "[Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=3)\n",
            "oom_model_too_large",
            "nccl_timeout_slow_rank",
        ),
        (
            "AssertionError: Torch not compiled with CUDA enabled\n"
            "The installed version of bitsandbytes was compiled without GPU support\n"
            "PyTorch version: 2.3.1+cpu\n",
            "cpu_only_torch",
            "bnb_cuda_setup_failed",
        ),
        (
            "NVRM: Xid (PCI:0000:44:00): 79, GPU has fallen off the bus.\n"
            "RuntimeError: CUDA error: unspecified launch failure\nncclRemoteError: failed\n",
            "gpu_hardware_xid",
            "nccl_network_interface",
        ),
        (
            "NCCL WARN Call to posix_fallocate failed: No space left on device\n"
            "ncclSystemError: System call failed\n",
            "shm_too_small",
            "disk_full_cache",
        ),
    ],
    ids=["driver", "memory", "cpu build", "hardware", "shared memory"],
)
def test_the_root_comes_before_what_follows_from_it(text: str, first: str, not_first: str) -> None:
    """A broken lower layer is named first, its consequences lose confidence."""
    found = {each.cause_id: each.confidence for each in explain_text(text)}
    assert next(iter(found)) == first
    assert found.get(not_first, 0.0) < 0.6


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ("GPU 0: Tesla V100-SXM2-32GB\nPyTorch version: 2.11.0+cu128\n", "gpu_arch_dropped"),
        ("GPU 0: NVIDIA GeForce RTX 5090\nPyTorch version: 2.6.0+cu124\n", "gpu_arch_not_in_wheel"),
    ],
)
def test_the_same_message_means_what_the_machine_says(facts: str, cause: str) -> None:
    """`no kernel image` is a dropped or a missing architecture, by GPU and build."""
    text = facts + "CUDA error: no kernel image is available for execution on the device\n"
    assert explain_text(text)[0].cause_id == cause


@pytest.mark.parametrize(
    ("allocated", "cause"),
    [("21.32 GiB", "oom_model_too_large"), ("2.10 GiB", "oom_gpu_used_by_other_process")],
)
def test_out_of_memory_is_divided_by_who_holds_it(allocated: str, cause: str) -> None:
    """What PyTorch holds itself decides between a job too large and a neighbour."""
    text = (
        "CUDA out of memory. Tried to allocate 518.00 MiB. GPU 0 has a total capacity of "
        "21.67 GiB of which 4.06 MiB is free. Process 7 has 21.65 GiB memory in use. Of the "
        f"allocated memory {allocated} is allocated by PyTorch, and 1.00 MiB is reserved by "
        "PyTorch but unallocated."
    )
    assert explain_text(text)[0].cause_id == cause


def test_advice_passes_the_products_own_rules() -> None:
    """A Volta card gets a build that has its code, on a driver that runs it."""
    text = (
        "PyTorch version: 2.15.0+cu132\nGPU 0: Tesla V100-SXM2-32GB\nDriver Version: 580.95.05\n"
        "CUDA error: no kernel image is available for execution on the device\n"
    )
    diagnosis = explain_text(text)[0]
    assert any("--torch-backend=cu126" in fix for fix in diagnosis.fix)
    assert not any("cu13" in fix for fix in diagnosis.fix)


def test_a_driver_too_old_for_every_build_says_so() -> None:
    """Advice names the driver to reach where no published build fits the installed one."""
    text = (
        "GPU 0: NVIDIA GeForce RTX 5090\nNvidia driver version: 470.57.02\n"
        "PyTorch version: 2.7.1+cu128\nCUDA used to build PyTorch: 12.8\nIs CUDA available: False\n"
    )
    diagnosis = explain_text(text)[0]
    assert diagnosis.cause_id == "driver_too_old_for_cuda"
    assert any("upgrade the driver to" in fix for fix in diagnosis.fix)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("cudaGetDeviceCount returned 35", "driver_too_old_for_cuda"),
        ("CUDA failure 802", "fabric_manager_not_running"),
        ("cuda runtime error (10)", "cuda_device_index_invalid"),
    ],
)
def test_an_error_by_its_number_counts_as_its_message(text: str, cause: str) -> None:
    """Programs that print no message print the number."""
    assert explain_text(text)[0].cause_id == cause


def test_of_equal_causes_the_last_line_leads() -> None:
    """The exception stands after its warnings."""
    warning = "The installed version of bitsandbytes was compiled without GPU support.\n"
    error = "RuntimeError: No GPU found. A GPU is needed for quantization.\n"
    assert explain_text(warning + error)[0].cause_id == "no_nvidia_gpu"
    assert explain_text(error + warning)[0].cause_id == "bnb_cuda_setup_failed"
