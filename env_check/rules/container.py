"""CTR: what a container was given of the GPU, and whether the engine can hand one on."""

from __future__ import annotations

from typing import Optional

from env_check import remedies, support
from env_check.facts import Facts, known
from env_check.findings import Layer
from env_check.inference import card_names, has_gpu, nvidia_cards
from env_check.remedies import sudo
from env_check.rules.rule import Verdict, fault, rule, warning

TOOLKIT = "NVIDIA Container Toolkit documentation"
HOST_DRIVER = (Layer.PLATFORM, Layer.KERNEL_MODULE, Layer.DRIVER)
GPU_IN_CONTAINER = "`docker run --rm --gpus all ubuntu nvidia-smi` lists the card"


def _gpu_nodes(facts: Facts) -> tuple[str, ...]:
    return tuple(node for node in facts.gpu.nodes if node[-1].isdigit())


def _engine(facts: Facts) -> str:
    """Return the engine's version where it answers and this machine has a GPU, else empty."""
    return (known(facts.engine.server_version, None) or "") if has_gpu(facts) else ""


@rule("CTR401", Layer.CONTAINER, source=TOOLKIT, cause_id="container_no_gpu_flag")
def no_gpu_given(facts: Facts) -> Optional[Verdict]:
    """Inside a container: the host has a loaded NVIDIA driver, the container got no device."""
    gpu = facts.gpu
    if not facts.host.container or not gpu.module_version or _gpu_nodes(facts):
        return None
    start = {
        "podman": "podman run --device nvidia.com/gpu=all …",
        "kubernetes": "request it: resources.limits: {nvidia.com/gpu: 1}",
    }
    return fault(
        "the container was started without a GPU",
        evidence=(
            f"host driver: {gpu.module_version}",
            "under /dev: no nvidia device",
            f"NVIDIA_VISIBLE_DEVICES: {gpu.container_devices or 'not set'}",
        ),
        why="the variable alone gives nothing; the engine must be asked for the device",
        fix=(
            start.get(facts.host.container, "docker run --gpus all …"),
            "compose: deploy.resources.reservations.devices with capabilities: [gpu]",
        ),
        verify="`ls /dev/nvidia0` finds it inside the container",
    )


@rule(
    "CTR402",
    Layer.CONTAINER,
    source="https://github.com/NVIDIA/nvidia-container-toolkit/issues/48",
    cause_id="container_lost_gpu_cgroup",
)
def lost_devices(facts: Facts) -> Optional[Verdict]:
    """A running container lost its GPU: nodes are there, NVML says Unknown Error."""
    is_lost = "Unknown Error" in facts.gpu.smi and _gpu_nodes(facts)
    if not facts.host.container or not is_lost:
        return None
    return fault(
        "this container has lost its GPU while it ran",
        evidence=(f"nvidia-smi: {facts.gpu.smi}", f"under /dev: {', '.join(facts.gpu.nodes)}"),
        why="a systemd reload on the host rewrote the container's device rules",
        fix=(
            "restart the container (training resumes from its checkpoint)",
            "for good: hand the devices over by CDI (`--device nvidia.com/gpu=all`), "
            'or "exec-opts": ["native.cgroupdriver=cgroupfs"] in /etc/docker/daemon.json',
        ),
        verify="`nvidia-smi` in the container, after `systemctl daemon-reload` on the host",
    )


@rule("CTR403", Layer.CONTAINER, source=TOOLKIT + ", driver capabilities")
def no_compute_capability(facts: Facts) -> Optional[Verdict]:
    """The container has the devices and not libcuda: NVIDIA_DRIVER_CAPABILITIES lacks compute."""
    gpu = facts.gpu
    if not facts.host.container or not _gpu_nodes(facts) or gpu.libcuda or gpu.has_wsl_libcuda:
        return None
    if gpu.init_code is not None:
        return None
    seen = gpu.container_capabilities
    return fault(
        "the container has the GPU's devices and no libcuda",
        evidence=(
            f"NVIDIA_DRIVER_CAPABILITIES: {seen or 'not set (utility alone)'}",
            f"under /dev: {', '.join(gpu.nodes)}",
            "libcuda: none",
        ),
        why="without the capability `compute` the toolkit mounts no CUDA library",
        fix="docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility …",
        verify="`ldconfig -p | grep libcuda` finds it inside the container",
    )


@rule(
    "CTR404",
    Layer.CONTAINER,
    source="https://github.com/NVIDIA/nvidia-container-toolkit/issues/289",
    cause_id="container_image_bundles_driver_libs",
)
def image_has_driver(facts: Facts) -> Optional[Verdict]:
    """The image brings libcuda of another driver than the host's."""
    gpu = facts.gpu
    if not facts.host.container or not gpu.module_version:
        return None
    foreign = tuple(each for each in gpu.libcuda if each != gpu.module_version)
    if not foreign:
        return None
    return fault(
        "the image contains a driver library of its own",
        evidence=(
            f"host driver: {gpu.module_version}",
            f"libcuda in {', '.join(gpu.libcuda_folders)}: {', '.join(gpu.libcuda)}",
        ),
        why="libcuda must be the host driver's, mounted at start; a second one shadows or mixes",
        fix=(
            "remove the driver packages from the image (libnvidia-compute-*, nvidia-utils-*)",
            "or use the images of `trainbox image build`, which hold none",
        ),
        verify="`ls /usr/lib/*/libcuda.so.*` shows the host's version alone",
    )


@rule("CTR410", Layer.CONTAINER, source="Docker documentation, Start the daemon")
def engine_down(facts: Facts) -> Optional[Verdict]:
    """A GPU host with the docker command and no engine that answers."""
    if not has_gpu(facts) or facts.host.container or facts.engine.cli_version is None:
        return None
    if known(facts.engine.server_version, "?") or facts.engine.problem == "not allowed":
        return None
    return warning(
        "the Docker engine does not answer",
        evidence=f"docker info: {facts.engine.problem}",
        why="training in the pinned image needs it; `--backend host` does not",
        fix=remedies.start_docker(facts),
        verify="`docker info` prints a server version",
    )


@rule("CTR411", Layer.CONTAINER, source="Docker documentation, Post-installation steps")
def engine_forbidden(facts: Facts) -> Optional[Verdict]:
    """This account may not talk to the Docker engine."""
    if facts.engine.problem != "not allowed":
        return None
    return warning(
        "this account may not use the Docker engine",
        evidence="docker info: permission denied",
        why="training in the pinned image needs it; `--backend host` does not",
        fix=remedies.reach_docker(facts),
        verify="`docker info` prints a server version",
    )


@rule("CTR412", Layer.CONTAINER, source=TOOLKIT, cause_id="container_toolkit_missing")
def no_toolkit(facts: Facts) -> Optional[Verdict]:
    """The engine answers and the NVIDIA Container Toolkit is not installed."""
    engine = facts.engine
    if not _engine(facts) or engine.name == "Docker Desktop" or facts.host.container:
        return None
    if engine.toolkit_version or "nvidia" in engine.runtimes or engine.cdi_devices:
        return None
    return fault(
        "Docker cannot hand on the GPU: the NVIDIA Container Toolkit is missing",
        evidence=(
            f"engine: {_engine(facts)}, runtimes: {', '.join(engine.runtimes)}",
            "nvidia-ctk: not found; CDI devices: none",
        ),
        why='`docker run --gpus all` ends with `could not select device driver ""`',
        fix=remedies.toolkit(facts),
        verify=GPU_IN_CONTAINER,
    )


@rule("CTR413", Layer.CONTAINER, source=TOOLKIT, cause_id="container_toolkit_missing")
def toolkit_unused(facts: Facts) -> Optional[Verdict]:
    """The toolkit is installed and the engine was never told of it."""
    engine = facts.engine
    if not _engine(facts) or not engine.toolkit_version or engine.is_snap or facts.host.container:
        return None
    if "nvidia" in engine.runtimes or engine.cdi_devices or engine.name == "Docker Desktop":
        return None
    return fault(
        "the NVIDIA Container Toolkit is installed and Docker does not know it",
        evidence=(
            f"toolkit: {engine.toolkit_version}",
            f"runtimes of the engine: {', '.join(engine.runtimes)}; CDI devices: none",
        ),
        why="the engine finds no runtime that could hand on the GPU",
        fix=(remedies.configure_docker(facts), remedies.restart_docker(facts)),
        verify=GPU_IN_CONTAINER,
    )


@rule("CTR414", Layer.CONTAINER, source=TOOLKIT + ", CDI")
def stale_cdi(facts: Facts) -> Optional[Verdict]:
    """The CDI file names libraries of a driver that is no longer installed."""
    engine, loaded = facts.engine, facts.gpu.module_version
    if not engine.cdi_driver or not loaded or engine.cdi_driver == loaded:
        return None
    verdict = warning if "nvidia" in engine.runtimes else fault
    return verdict(
        f"the CDI file is of driver {engine.cdi_driver}, loaded is {loaded}",
        evidence=(f"CDI file: libcuda.so.{engine.cdi_driver}", f"kernel module: {loaded}"),
        why="a container started over CDI would mount files that are gone",
        fix=f"{sudo(facts)}nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
        verify="`docker run --rm --device nvidia.com/gpu=all ubuntu nvidia-smi` lists the card",
    )


@rule("CTR415", Layer.CONTAINER, source="https://github.com/canonical/docker-snap")
def snap(facts: Facts) -> Optional[Verdict]:
    """Docker from snap, which cannot use the toolkit of the system."""
    if not _engine(facts) or not facts.engine.is_snap:
        return None
    return fault(
        "Docker from snap cannot use the system's NVIDIA toolkit",
        evidence=(f"engine: {_engine(facts)}, from snap", f"GPU: {card_names(facts)}"),
        why="a snap sees neither /etc/docker/daemon.json nor the toolkit's programs",
        fix=(
            f"{sudo(facts)}snap remove docker",
            "install Docker Engine from its own repository: https://docs.docker.com/engine/install/",
            *remedies.toolkit(facts),
        ),
        verify=GPU_IN_CONTAINER,
    )


@rule("CTR416", Layer.CONTAINER, source="Docker Desktop for Linux documentation")
def desktop(facts: Facts) -> Optional[Verdict]:
    """Docker Desktop on Linux runs its containers in a virtual machine without the GPU."""
    if not _engine(facts) or facts.engine.name != "Docker Desktop" or facts.host.wsl:
        return None
    return fault(
        "Docker Desktop on Linux has no GPU in its virtual machine",
        evidence=f"engine: {_engine(facts)}, Docker Desktop, on {facts.host.distribution_name}",
        why="only Docker Desktop on Windows hands a GPU on",
        fix=(
            "install Docker Engine beside it: https://docs.docker.com/engine/install/",
            "docker context use default",
            *remedies.toolkit(facts),
        ),
        verify=GPU_IN_CONTAINER,
    )


@rule("CTR417", Layer.CONTAINER, source=TOOLKIT + ", rootless mode")
def rootless(facts: Facts) -> Optional[Verdict]:
    """A rootless engine with the toolkit's no-cgroups switch off, and no CDI."""
    engine = facts.engine
    if not _engine(facts) or not engine.is_rootless or engine.cdi_devices:
        return None
    if engine.no_cgroups is not False:
        return None
    return fault(
        "the rootless engine cannot set device rules for the GPU",
        evidence=("engine: rootless", "no-cgroups: false (/etc/nvidia-container-runtime)"),
        why="without root the toolkit may not write control groups, and the start fails",
        fix=(
            "sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place",
            remedies.restart_docker(facts),
        ),
        verify=GPU_IN_CONTAINER,
    )


@rule("CTR418", Layer.CONTAINER, source="Docker Engine 19.03 release notes")
def old_engine(facts: Facts) -> Optional[Verdict]:
    """An engine before 19.03, which has no --gpus."""
    seen = support.version(_engine(facts))
    if not seen or seen >= (19, 3):
        return None
    return fault(
        f"Docker {_engine(facts)} has no `--gpus`",
        evidence=f"engine: {_engine(facts)}",
        why="GPUs for containers came with 19.03; the images need BuildKit of 20.10 or newer",
        fix="install a current engine: https://docs.docker.com/engine/install/",
        verify="`docker version` prints 20.10 or newer",
    )


@rule("CTR430", Layer.CONTAINER, source=TOOLKIT, explained_by=HOST_DRIVER)
def no_gpu_for_containers(facts: Facts) -> Optional[Verdict]:
    """Containers will get no GPU because the driver beneath does not work."""
    if not _engine(facts) or not nvidia_cards(facts) or facts.gpu.module_version:
        return None
    return warning(
        "no container can get the GPU",
        evidence=f"engine: {_engine(facts)}; kernel module: not loaded",
        why="the toolkit hands on what the host's driver offers",
        fix="mend the driver first",
        verify=GPU_IN_CONTAINER,
    )
