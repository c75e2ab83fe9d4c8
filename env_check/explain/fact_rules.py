"""Rules over the facts of a text: versions, GPUs and platforms that do not go together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Callable, Optional

from env_check import support
from env_check.explain.evidence import Evidence, Found
from env_check.explain.fitting import build_of, capabilities_of, fit_of
from env_check.explain.report import Report
from env_check.explain.scan import Match


def _line_of(report: Report, *facts: str) -> tuple[Match, ...]:
    return tuple(report.matches[fact] for fact in facts if fact in report.matches)


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
            "cpu_only_torch", 0.7, why, lines + _line_of(report, "cpu_build"), "cpu-build"
        )
    elif report.torch_cuda == "none" and has_gpu and report.cuda_available is False:
        why = "torch was built without CUDA, although the machine has a GPU."
        yield Evidence("cpu_only_torch", 0.85, why, lines, "cpu-build")


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
    if fit_of(report) not in ("too-old", "too-new") or report.sm_list or not report.torch:
        return
    if any(id in found for id in ("gpu-incompatible", "no-kernel-image", "gpu-cc-warning")):
        return
    released = re.fullmatch(r"\d+\.\d+\.\d+\+cu\d+", report.torch)
    if not report.gpus or not released:  # source and conda builds have lists of their own
        return
    cause_id = "gpu_arch_dropped" if fit_of(report) == "too-old" else "gpu_arch_not_in_wheel"
    build = build_of(report)
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


def rule_driver_versions(report: Report, found: Found) -> Iterator[Evidence]:
    """The loaded kernel module is of another version than the libraries of the driver."""
    if not report.module or not report.library or report.cuda_available:
        return
    if report.module != report.library:
        why = f"The kernel module is {report.module}, the driver's libraries are {report.library}."
        lines = _line_of(report, "module", "library")
        yield Evidence("nvml_version_mismatch_reboot", 0.95, why, lines, "driver-versions")


_SEES_NO_GPU = {
    "no-device", "no-cuda-gpus", "cuda-unknown", "cuda-init-failed", "smi-no-driver",
    "torch-no-driver", "cuda-launch-failure", "nvml-unknown",
}  # fmt: skip


def rule_suspend(report: Report, found: Found) -> Iterator[Evidence]:
    """CUDA is gone after the machine slept."""
    slept = found.get("suspend", [])
    lost = report.cuda_available is False or _SEES_NO_GPU & found.keys() or "uvm-reload" in found
    if "until-reboot" in found and report.cuda_available is False:
        lines = tuple(found["until-reboot"][:1])
        yield Evidence("cuda_unknown_error_stale_driver_state", 0.6, "", lines, "reboot")
    if slept and lost:
        why = "CUDA was lost when the machine slept."
        yield Evidence(
            "cuda_unknown_error_stale_driver_state", 0.88, why, tuple(slept[:1]), "suspend"
        )


def rule_exclusive(report: Report, found: Found) -> Iterator[Evidence]:
    """The compute mode admits one process, and a process is refused."""
    modes = [match for id in ("smi-exclusive", "smi-q-exclusive") for match in found.get(id, ())]
    refused = {"gpu-busy", "bad-ordinal", "context-refused", "no-device", "no-cuda-gpus"}
    if modes and refused & found.keys():
        yield Evidence("gpu_exclusive_mode", 0.95, "", tuple(modes[:1]), "exclusive")


def rule_image_driver(report: Report, found: Found) -> Iterator[Evidence]:
    """The Dockerfile installs driver packages, and the libraries clash with the host's."""
    installed = found.get("dockerfile-driver", [])
    if installed and {"nvml-mismatch", "mount-exists", "compat-driver"} & found.keys():
        why = "The image installs a driver of its own."
        yield Evidence(
            "container_image_bundles_driver_libs", 0.98, why, tuple(installed[:1]), "image-driver"
        )


def rule_library_path(report: Report, found: Found) -> Iterator[Evidence]:
    """cuBLAS refuses valid calls where LD_LIBRARY_PATH brings in another one."""
    failing = [found[id][0] for id in ("cublas-value", "cudnn-error") if id in found]
    if failing and "library-path" in found:
        yield Evidence(
            "mixed_cuda_libs", 0.8, "", (found["library-path"][0], *failing), "library-path"
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


def rule_default_build(report: Report, found: Found) -> Iterator[Evidence]:
    """Plain pip brings a CPU build on this platform, and CUDA is not available."""
    untagged = report.torch and "+" not in report.torch and report.torch_cuda in ("", "none")
    if not untagged or report.cuda_available is not False or report.torch.endswith("cpu"):
        return
    asked = report.gpus or report.driver or "asks-cuda" in found
    default = support.default_tag(report.torch, report.machine, report.platform)
    if asked and default == "cpu":
        why = f"On this platform pip installs torch {report.torch} without CUDA."
        lines = _line_of(report, "torch", "available")
        yield Evidence("cpu_only_torch", 0.6, why, lines, "default-build")


def rule_two_wheels(report: Report, found: Found) -> Iterator[Evidence]:
    """The CUDA libraries of two majors are installed from wheels, and one does not load."""
    wheels = found.get("nvidia-wheel", [])
    if len({match.groups[0] for match in wheels}) > 1 and "broken-binary" in found:
        why = "The nvidia wheels are of two CUDA majors."
        yield Evidence("mixed_cuda_libs", 0.8, why, (wheels[0], wheels[-1]), "two-wheels")


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
            "wsl_driver_installed_inside", 0.45, "", tuple(found["mount-exists"][:1]), "wsl-mount"
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


def rule_blind_container(report: Report, found: Found) -> Iterator[Evidence]:
    """A container says that it sees no GPU, and nothing says why."""
    sees_none = report.cuda_available is False or "no-gpu-prose" in found
    if report.is_container and sees_none and not report.driver and not report.is_cpu_build:
        lines = tuple(found.get("no-gpu-prose", ())[:1]) or _line_of(report, "available")
        yield Evidence("container_no_gpu_flag", 0.45, "", lines, "blind-container")


def rule_cuda_pair(report: Report, found: Found) -> Iterator[Evidence]:
    """A program prints the CUDA of the driver and its own, a major newer."""
    for match in found.get("cuda-api-pair", ()):
        driver, runtime = [group for group in match.groups if group]
        if support.version(driver)[0] < support.version(runtime)[0]:
            why = f"The driver offers CUDA {driver}, the program is built for {runtime}."
            yield Evidence("driver_too_old_for_cuda", 0.88, why, (match,), "cuda-pair")
            return


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
    alone = "p2p-hang" in found and not waits
    if alone and ("nccl-tests" in found or (consumer and "ranks" in found)):
        why = "The GPUs wait for each other without an error."
        yield Evidence("nccl_p2p_broken", 0.5, why, tuple(found["p2p-hang"][:1]), "p2p-hang")
    shown = [match for id in ("p2p-path", "p2p-test") for match in found.get(id, ())]
    if shown and "p2p-hang" in found:
        yield Evidence("nccl_p2p_broken", 0.75, "", tuple(shown[:1]), "p2p-hang")


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
    sized = total is not None or own is not None or "tried to allocate" in text
    held = [match for match in found.get("smi-process", ()) if int(match.groups[0]) > 500]
    if len(held) > 1 and own is None:
        why = f"{len(held)} processes hold GPU memory."
        yield Evidence("oom_gpu_used_by_other_process", 0.85, why, tuple(held[:3]), "oom")
    if "other-prose" in found:
        others_lines = tuple(found["other-prose"][:1])
        yield Evidence(
            "oom_gpu_used_by_other_process", 0.9 if not sized else 0.6, "", others_lines, "oom"
        )
    full = [match for match in found.get("smi-memory", ()) if _is_full(match)]
    if full and not sized:
        why = "The GPU is full before this job starts."
        yield Evidence("oom_gpu_used_by_other_process", 0.85, why, tuple(full[:1]), "oom")
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
    yield Evidence("oom_model_too_large", 0.9 if sized else 0.65, "", lines, "oom")
    if not sized or others:
        yield Evidence("oom_gpu_used_by_other_process", 0.45, "", lines, "oom")


def rule_little_free(report: Report, found: Found) -> Iterator[Evidence]:
    """TensorFlow tells what is free at its start: next to nothing means a neighbour."""
    for match in found.get("tf-memory", ()):
        total, total_unit, free, free_unit = match.groups
        gib = {"g": 1.0, "m": 1 / 1024}
        if float(free) * gib[free_unit.lower()] < 0.25 * float(total) * gib[total_unit.lower()]:
            why = "Most of the GPU's memory is taken before the program begins."
            yield Evidence("oom_gpu_used_by_other_process", 0.75, why, (match,), "little-free")
            return


def _is_full(match: Match) -> bool:
    used, total = (int(group) for group in match.groups)
    return used > 0.75 * total


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


def rule_bnb_search(report: Report, found: Found) -> Iterator[Evidence]:
    """bitsandbytes looks for the CUDA runtime, and nothing says that it found it."""
    if "bnb-searching" in found and "bnb-found" not in found:
        why = "bitsandbytes did not find libcudart on its paths."
        lines = tuple(found["bnb-searching"][:1])
        yield Evidence("bnb_cuda_setup_failed", 0.5, why, lines, "bnb-search")


_VIRTUAL = re.compile(r"^(?:\[0\])?(?:ip6tnl|veth|docker|virbr|br-|tun|tap|tailscale|wg|sit)|:fe80")


def rule_interface(report: Report, found: Found) -> Iterator[Evidence]:
    """NCCL begins with a tunnel, a bridge or a link-local address: other hosts do not reach it."""
    for match in () if "nccl-complete" in found else found.get("nccl-using", ()):
        interface = match.groups[0].lower().split(" [")[0]
        if _VIRTUAL.search(interface):
            why = f"NCCL uses {interface.split(':')[0].removeprefix('[0]')}."
            yield Evidence("nccl_network_interface", 0.6, why, (match,), "interface")
            return


def rule_cuda_gone(report: Report, found: Found) -> Iterator[Evidence]:
    """GPU, driver and build fit each other, and CUDA is not available all the same."""
    fits = fit_of(report) == "fits" and not report.is_cpu_build
    if report.cuda_available is False and report.driver and fits:
        why = "GPU, driver and torch build go together, and CUDA is not available all the same."
        lines = _line_of(report, "available", "driver")
        yield Evidence("cuda_unknown_error_stale_driver_state", 0.4, why, lines, "cuda-gone")


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
    rule_driver_versions,
    rule_suspend,
    rule_exclusive,
    rule_image_driver,
    rule_library_path,
    rule_broken_binary,
    rule_two_wheels,
    rule_wheel_tags,
    rule_default_build,
    rule_extension_arch,
    rule_companion,
    rule_mig,
    rule_wsl_driver,
    rule_wsl_mount,
    rule_wsl_tcc,
    rule_p2p_bandwidth,
    rule_p2p_hang,
    rule_docker_run,
    rule_oom,
    rule_little_free,
    rule_bnb_library,
    rule_bnb_search,
    rule_cuda_gone,
    rule_interface,
    rule_blind_container,
    rule_cuda_pair,
    rule_triton_pair,
)
