"""Rules over containers and WSL: who hands over the GPU, and what stands in the way."""

from __future__ import annotations

import re
from collections.abc import Iterator

from env_check.explain.evidence import Evidence, Found, line_of
from env_check.explain.report import Report


def rule_docker_run(report: Report, found: Found) -> Iterator[Evidence]:
    """A container was started without GPU access and then sees no GPU."""
    match = report.matches.get("docker_run")
    asks = r"--gpus|nvidia|--device|--privileged|--nv\b"
    symptoms = {"no-device", "torch-no-driver", "libcuda-missing", "no-cuda-gpus", "smi-not-found"}
    sees_none = report.cuda_available is False or bool(symptoms & found.keys())
    if match and sees_none and not re.search(asks, match.line_lowered):
        why = "The container was started without --gpus."
        yield Evidence("container_no_gpu_flag", 0.84, why, (match,), "docker-run")


def rule_blind_container(report: Report, found: Found) -> Iterator[Evidence]:
    """A container says that it sees no GPU, and nothing says why."""
    sees_none = report.cuda_available is False or "no-gpu-prose" in found
    if report.is_container and sees_none and not report.driver and not report.is_cpu_build:
        lines = tuple(found.get("no-gpu-prose", ())[:1]) or line_of(report, "available")
        yield Evidence("container_no_gpu_flag", 0.45, "", lines, "blind-container")


def rule_runtimes(report: Report, found: Found) -> Iterator[Evidence]:
    """The engine is asked for GPUs and knows no nvidia runtime."""
    run = report.matches.get("docker_run")
    if "runtimes" in found and run and re.search(r"--gpus|--runtime[= ]nvidia", run.line_lowered):
        lines = (found["runtimes"][0], run)
        yield Evidence("container_toolkit_missing", 0.6, "", lines, "runtimes")


def rule_small_shm(report: Report, found: Found) -> Iterator[Evidence]:
    """A container with Docker's 64 MB of shared memory loses its workers."""
    run = report.matches.get("docker_run")
    lost = [found[id][0] for id in ("shm-worker", "shm-bus", "nccl-generic") if id in found]
    if run and lost and not re.search(r"--shm-size|--ipc", run.line_lowered):
        why = "The container was started without --shm-size or --ipc=host."
        yield Evidence("shm_too_small", 0.75, why, (run, *lost), "small-shm")


def rule_image_driver(report: Report, found: Found) -> Iterator[Evidence]:
    """The Dockerfile installs driver packages, and the libraries clash with the host's."""
    installed = found.get("dockerfile-driver", [])
    if installed and {"nvml-mismatch", "mount-exists", "compat-driver"} & found.keys():
        why = "The image installs a driver of its own."
        yield Evidence(
            "container_image_bundles_driver_libs", 0.98, why, tuple(installed[:1]), "image-driver"
        )


def rule_driver_copies(report: Report, found: Found) -> Iterator[Evidence]:
    """In a container lie driver libraries of two versions: the image brought its own."""
    copies = found.get("driver-copies", [])
    if report.is_container and len({match.groups[0] for match in copies}) > 1:
        why = "There are driver libraries of two versions in the container."
        lines = (copies[0], copies[-1])
        yield Evidence("container_image_bundles_driver_libs", 0.66, why, lines, "driver-copies")


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


def rule_blind_wsl(report: Report, found: Found) -> Iterator[Evidence]:
    """CUDA sees no GPU under WSL: libcuda is not found, or Windows hands over none."""
    blind = report.cuda_available is False or {"no-gpu-prose", "no-device"} & found.keys()
    if report.platform != "wsl" or not blind or report.is_cpu_build:
        return
    old = found.get("windows-build", [])
    if old:
        yield Evidence(
            "wsl_gpu_not_exposed",
            0.8,
            "Windows 10 before 21H2 has no CUDA in WSL2.",
            tuple(old[:1]),
            "blind-wsl",
        )
    cause_id = "wsl_libcuda_not_found" if report.driver else "wsl_gpu_not_exposed"
    yield Evidence(cause_id, 0.5, "", line_of(report, "available", "driver"), "blind-wsl")


def rule_wsl_tcc(report: Report, found: Found) -> Iterator[Evidence]:
    """A card in TCC mode is not projected into WSL."""
    rows = found.get("wsl-tcc", [])
    if rows and (report.platform == "wsl" or "wsl-blocked" in found):
        yield Evidence(
            "wsl_gpu_not_exposed", 0.9, "The card is in TCC mode.", tuple(rows[:1]), "wsl-tcc"
        )


RULES = (
    rule_docker_run,
    rule_blind_container,
    rule_image_driver,
    rule_runtimes,
    rule_small_shm,
    rule_driver_copies,
    rule_wsl_driver,
    rule_wsl_mount,
    rule_blind_wsl,
    rule_wsl_tcc,
)
