"""TORCH: does the installed build fit card, driver and the libraries around it."""

from __future__ import annotations

import re
from typing import Optional

from env_check import remedies, support
from env_check.choose import choose
from env_check.facts import Facts, Unknown, known
from env_check.findings import Layer
from env_check.inference import (
    capabilities,
    card_names,
    driver,
    has_gpu,
    platform,
    torch_build,
    torch_cuda,
    torch_version,
)
from env_check.rules.rule import Verdict, fault, rule, unseen, warning

COMPAT = "NVIDIA CUDA Compatibility guide, minor-version compatibility"
DRIVER_LAYERS = (Layer.PLATFORM, Layer.KERNEL_MODULE, Layer.DRIVER, Layer.CONTAINER)
BUILD_FITS = "`env-check` reports no TORCH finding"


def fitting_build(facts: Facts) -> tuple[str, ...]:
    """Return how to get a torch build that passes the rules on this card and driver."""
    variant = choose(facts).variant
    is_here = variant == "cu130" and facts.image is None
    setup = "TRAINBOX_LOCK=cu130 make setup" if is_here else ""
    builds = [
        build
        for capability in capabilities(facts)
        for build in support.builds_for(
            capability, driver(facts), platform(facts), facts.host.machine
        )
        if all(build.fit(other) == "fits" for other in capabilities(facts))
    ]
    if not builds:
        return (f"no torch build runs on this card and driver; {choose(facts).way_out}",)
    best = builds[0]
    page = "https://pytorch.org/get-started/previous-versions/"
    install = f"install torch {best.torch} built for CUDA {best.cuda} ({page})"
    image = f"train in the image: make image VARIANT={variant}" if variant else ""
    first = (image, install) if not setup else (setup, install, image)
    return tuple(line for line in first if line)


def _engine_serves(facts: Facts) -> bool:
    """Tell whether a container with the GPU can be started, so that the host's torch is idle."""
    engine = facts.engine
    if facts.image is not None:
        return False  # then this torch is the container's
    has_route = "nvidia" in engine.runtimes or bool(engine.cdi_devices)
    return bool(known(engine.server_version, None)) and has_route


@rule(
    "TORCH601", Layer.TORCH, source="wheel tags; pytorch.org/get-started", cause_id="cpu_only_torch"
)
def cpu_build(facts: Facts) -> Optional[Verdict]:
    """A torch without CUDA on a machine with an NVIDIA GPU."""
    if not has_gpu(facts) or not torch_version(facts) or facts.python.torch_cuda is not None:
        return None
    seen = f"torch {facts.python.packages['torch']}"
    if facts.python.torch_hip:
        seen += f", built for ROCm {facts.python.torch_hip}"
    verdict = warning if _engine_serves(facts) else fault
    return verdict(
        "the installed torch cannot use the GPU: it is built without CUDA",
        evidence=(seen, f"GPU: {card_names(facts)}"),
        why="torch.cuda.is_available() is False whatever the driver; 4-bit training needs the GPU"
        + (" (training in the image is not affected)" if verdict is warning else ""),
        fix=fitting_build(facts),
        verify='`python -c "import torch; print(torch.version.cuda)"` prints a version',
    )


@rule(
    "TORCH602",
    Layer.TORCH,
    source=COMPAT,
    cause_id="driver_too_old_for_cuda",
    explained_by=DRIVER_LAYERS,
)
def driver_too_old(facts: Facts) -> Optional[Verdict]:
    """The driver is older than the floor of torch's CUDA major; within a major older is fine."""
    cuda, seen = torch_cuda(facts), driver(facts)
    if not cuda or not seen or support.driver_runs(seen, cuda, platform(facts)) is not False:
        return None
    api = known(facts.gpu.cuda_version, None)
    if api and support.minor(api)[0] >= support.minor(cuda)[0]:
        return None  # a compat libcuda serves
    floor = support.driver_floor(cuda, platform(facts))
    return fault(
        f"the driver is too old for torch's CUDA {cuda}",
        evidence=(
            f"driver: {seen} (CUDA {support.cuda_of_driver(seen, platform(facts))})",
            f"torch: {facts.python.packages['torch']}, CUDA {cuda}, "
            f"needs driver {floor.minimum if floor else '?'}",
        ),
        why="torch says `The NVIDIA driver on your system is too old` and uses the CPU",
        fix=(*remedies.update_driver(facts), "or keep the driver:", *fitting_build(facts)),
        verify='`python -c "import torch; print(torch.cuda.is_available())"` prints True',
    )


def _misfit(facts: Facts, fit: str) -> tuple[str, Optional[support.TorchBuild]]:
    """Return the first capability that stands so to the installed build."""
    build = torch_build(facts)
    if build is not None:
        for capability in capabilities(facts):
            if build.fit(capability) == fit:
                return capability, build
    return "", None


def _build_evidence(facts: Facts, capability: str, build: support.TorchBuild) -> tuple[str, ...]:
    return (
        f"{card_names(facts)}: compute capability {capability}",
        f"torch {facts.python.packages['torch']} (CUDA {build.cuda}) has code for "
        + ", ".join(build.architectures),
    )


@rule(
    "TORCH603",
    Layer.TORCH,
    source="torch/cuda/__init__.py; release compatibility matrix",
    cause_id="gpu_arch_not_in_wheel",
)
def too_new(facts: Facts) -> Optional[Verdict]:
    """The card is newer than all code in the torch build."""
    capability, build = _misfit(facts, "too-new")
    if build is None:
        return None
    return fault(
        "this torch build has no code for so new a card",
        evidence=_build_evidence(facts, capability, build),
        why="the first kernel ends with `no kernel image is available for execution`",
        fix=fitting_build(facts),
        verify=BUILD_FITS,
    )


@rule(
    "TORCH604",
    Layer.TORCH,
    source="torch/cuda/__init__.py; release compatibility matrix",
    cause_id="gpu_arch_dropped",
)
def too_old(facts: Facts) -> Optional[Verdict]:
    """The card is older than the code in the torch build, or fell out of its list."""
    capability, build = _misfit(facts, "too-old")
    if build is None:
        return None
    return fault(
        "this torch build no longer has code for the card",
        evidence=_build_evidence(facts, capability, build),
        why="torch.cuda.is_available() is True, and the first kernel fails",
        fix=fitting_build(facts),
        verify=BUILD_FITS,
    )


@rule("TORCH606", Layer.TORCH, source="docs: unknown is never ok")
def build_unread(facts: Facts) -> Optional[Verdict]:
    """torch is installed and its build could not be read: half an installation."""
    cuda = facts.python.torch_cuda
    if not torch_version(facts) or not isinstance(cuda, Unknown):
        return None
    return unseen(
        "what torch was built for could not be read",
        evidence=(f"torch {facts.python.packages['torch']}", cuda.reason),
        why="whether it can use the card is decided by it",
        fix="make setup   (or: pip install --force-reinstall torch)",
        verify='`python -c "import torch; print(torch.version.cuda)"` prints a version or None',
    )


@rule(
    "TORCH607",
    Layer.COMPANIONS,
    source="Requires-Dist of torchvision and torchaudio",
    cause_id="torchvision_torchaudio_mismatch",
)
def companions(facts: Facts) -> Optional[Verdict]:
    """torchvision or torchaudio belongs to another torch release or CUDA major."""
    torch = torch_version(facts)
    mine = torch_cuda(facts)
    for name, tag in (
        ("torchvision", facts.python.torchvision_tag),
        ("torchaudio", facts.python.torchaudio_tag),
    ):
        installed = facts.python.packages.get(name)
        if not torch or not installed:
            continue
        theirs = support.cuda_of_tag(tag) if tag else None
        is_other = support.companion_fits(name, installed, torch) is False
        is_cuda = bool(mine and theirs and support.minor(mine)[0] != support.minor(theirs)[0])
        if not is_other and not is_cuda:
            continue
        pair = support.companions_of(torch)
        wanted = (pair[0] if name == "torchvision" else pair[1]) if pair else ""
        pin = f"{name}=={wanted}" if wanted and is_other else f"-U {name}"
        return fault(
            f"{name} {installed} does not belong to torch {facts.python.packages['torch']}",
            evidence=(
                f"torch {facts.python.packages['torch']}" + (f" (CUDA {mine})" if mine else ""),
                f"{name} {installed}" + (f"; torch {torch} goes with {wanted}" if wanted else ""),
            ),
            why="its operators were compiled for another torch: `operator … does not exist`",
            fix=(
                f"pip uninstall -y {name}   (text training does not need it)",
                f"or pip install {pin}",
            ),
            verify=f'`python -c "import {name}"` ends quietly',
        )
    return None


@rule(
    "TORCH608",
    Layer.TORCH,
    source="https://github.com/pytorch/pytorch/issues/111469",
    cause_id="mixed_cuda_libs",
)
def mixed_libraries(facts: Facts) -> Optional[Verdict]:
    """LD_LIBRARY_PATH puts other CUDA libraries first; older ones are a fault, else a warning."""
    packages = facts.python.packages
    if not torch_cuda(facts):
        return None
    clashes = [
        (f"{folder.path}/{library} before {package} {packages[package]}", library, package)
        for folder in facts.python.loader_folders
        for library in folder.libraries
        for package in _package_of(library, packages)
        if _differs(library, packages[package])
    ]
    duplicates = _duplicates(facts)
    if not clashes and not duplicates:
        return None
    is_older = any(_is_older(library, packages[package]) for _, library, package in clashes)
    return (fault if is_older else warning)(
        "CUDA libraries of another installation come first on the loader path",
        evidence=(tuple(line for line, _, _ in clashes) or duplicates)[:6],
        why="torch's libraries load others by name and may get these: undefined symbols "
        "(nvJitLink), cuDNN or cuBLAS errors",
        fix=("unset LD_LIBRARY_PATH", "and take the line that sets it out of ~/.bashrc"),
        verify="`env-check` reports no TORCH608",
    )


# Library → name of its wheel, which may end in -cu12 and the like. Source: wheels of torch.
WHEELS = {
    "cudart": "nvidia-cuda-runtime", "cublas": "nvidia-cublas", "cublasLt": "nvidia-cublas",
    "cudnn": "nvidia-cudnn", "nvJitLink": "nvidia-nvjitlink", "nccl": "nvidia-nccl",
    "cusparse": "nvidia-cusparse", "cusolver": "nvidia-cusolver", "cufft": "nvidia-cufft",
    "curand": "nvidia-curand", "nvrtc": "nvidia-cuda-nvrtc",
}  # fmt: skip


def _parts(library: str) -> tuple[str, str]:
    """Return family and version of a file name: libcudnn_ops.so.9.1.0 is (cudnn, 9.1.0)."""
    found = re.match(r"lib(\w+)\.so\.?([\d.]*)", library)
    if not found:
        return "", ""
    name = found.group(1)
    return ("cudnn" if name.startswith("cudnn") else name), found.group(2)


def _package_of(library: str, packages: dict[str, str]) -> list[str]:
    wheel = WHEELS.get(_parts(library)[0])
    return [name for name in packages if wheel and re.fullmatch(wheel + r"(-cu\d+)?", name)]


def _differs(library: str, installed: str) -> bool:
    """Tell whether a file is of the same major and another version than the wheel's."""
    mine, theirs = support.version(_parts(library)[1]), support.version(installed)
    return len(mine) > 1 and mine[:1] == theirs[:1] and mine[:2] != theirs[:2]


def _is_older(library: str, installed: str) -> bool:
    """Tell whether a file is one that others load by name, and lacks symbols of the wheel's.

    What torch itself is linked to is safe: its RPATH comes before LD_LIBRARY_PATH.
    """
    family, version = _parts(library)
    by_name = family in ("nvJitLink", "cudnn", "cublas", "cublasLt", "cusparse", "nvrtc")
    return by_name and support.version(version)[:2] < support.version(installed)[:2]


def _duplicates(facts: Facts) -> tuple[str, ...]:
    """Return libraries that two folders of the loader path hold in different versions."""
    seen: dict[str, tuple[str, str]] = {}
    found = []
    for folder in facts.python.loader_folders:
        for library in folder.libraries:
            version = _parts(library)[1]
            stem = library.split(".so")[0]
            if stem in seen and seen[stem][1] != version and seen[stem][0] != folder.path:
                found.append(
                    f"{seen[stem][0]}/{stem}.so.{seen[stem][1]} and {folder.path}/{library}"
                )
            seen.setdefault(stem, (folder.path, version))
    return tuple(found)


@rule("TORCH609", Layer.TORCH, source="ELF specification: header and section table")
def damaged(facts: Facts) -> Optional[Verdict]:
    """A shared library of torch or bitsandbytes is cut off or built for another machine."""
    if not facts.python.damaged:
        return None
    return fault(
        "a shared library cannot load: it is cut off or of another machine",
        evidence=tuple(f"{each.path}: {each.problem}" for each in facts.python.damaged[:6]),
        why="a download or copy that broke off, or a wheel for another processor",
        fix=(
            "df -h .   (a full disk cuts files off)",
            "pip install --force-reinstall --no-deps "
            + " ".join(dict.fromkeys(each.path.split("/")[0] for each in facts.python.damaged)),
        ),
        verify="`env-check` reports no TORCH609",
    )


@rule("TORCH610", Layer.TORCH, source="Requires-Dist of torch", cause_id="mixed_cuda_libs")
def libraries_missing(facts: Facts) -> Optional[Verdict]:
    """The CUDA packages that this torch needs are not installed."""
    if not facts.python.missing:
        return None
    return fault(
        "packages that torch loads its CUDA libraries from are missing",
        evidence=facts.python.missing[:6],
        why="`import torch` ends with `cannot open shared object file`",
        fix=("make setup", f"or: pip install torch=={facts.python.packages.get('torch', '')}"),
        verify='`python -c "import torch"` ends quietly',
    )
