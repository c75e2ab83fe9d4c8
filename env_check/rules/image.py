"""IMG: an image beside this machine: can it start, use the GPU, and is it what it says it is."""

from __future__ import annotations

import re
from typing import Optional

from env_check import remedies, support
from env_check.choose import VARIANTS
from env_check.facts import Facts, Image, Unknown, known
from env_check.findings import Layer
from env_check.inference import driver, platform, torch_version
from env_check.rules.rule import Verdict, fault, rule, unseen, warning

INSPECT = "docker image inspect"
BELOW = (Layer.PLATFORM, Layer.HARDWARE, Layer.KERNEL_MODULE, Layer.DRIVER, Layer.CONTAINER)
NEED = "`env-check --image` shows what the image holds"


@rule("IMG851", Layer.CONTAINER, source="docker run", explained_by=BELOW)
def not_seen(facts: Facts) -> Optional[Verdict]:
    """The image could not be looked into: absent, without Python, no engine, or no start."""
    image = facts.image
    if image is None or not image.problem:
        return None
    if image.problem == "not on this machine":
        fix: tuple[str, ...] = (f"docker pull {image.reference}", "or build it: make image")
    elif facts.engine.problem and facts.engine.cli_version:
        fix = remedies.reach_docker(facts)
    elif image.problem == "no python3":
        fix = ("look into an image that has a python3 on its PATH; training needs one too",)
    elif image.problem == "no docker command":
        fix = ("install Docker Engine: https://docs.docker.com/engine/install/",)
    else:
        fix = (f"docker run --rm --network none --entrypoint python3 {image.reference} -V",)
    return unseen(
        f"the image could not be looked into: {image.problem}",
        evidence=f"image: {image.reference}",
        why="whether training would run in it is not known",
        fix=fix,
        verify=f"`env-check --image {image.reference}` shows its Python",
    )


@rule("IMG852", Layer.CONTAINER, source=INSPECT + ", Architecture")
def other_machine(facts: Facts) -> Optional[Verdict]:
    """The image is built for another processor."""
    image = facts.image
    if image is None or not image.machine or image.machine == facts.host.machine:
        return None
    return fault(
        f"the image is built for {image.machine}, this machine is {facts.host.machine}",
        evidence=(f"image: {image.reference}: {image.machine}", f"uname -m: {facts.host.machine}"),
        why="it ends with `exec format error`, or runs in an emulator without a GPU",
        fix="build or pull it for this machine: make image   (docker pull --platform linux/…)",
        verify=f"`docker image inspect -f '{{{{.Architecture}}}}' {image.reference}`",
    )


@rule(
    "IMG853",
    Layer.CONTAINER,
    source="docker run --gpus",
    cause_id="container_toolkit_missing",
    explained_by=BELOW,
)
def gpu_refused(facts: Facts) -> Optional[Verdict]:
    """The engine was asked to give the GPU to a container of the image, and refused."""
    image = facts.image
    if image is None or not image.gpu_refusal:
        return None
    return fault(
        "the engine gives the image's container no GPU",
        evidence=f"docker run --gpus all: {image.gpu_refusal}",
        why="training in the image would not start",
        fix=remedies.toolkit(facts),
        verify=f"`docker run --rm --gpus all --entrypoint nvidia-smi {image.reference}`",
    )


@rule("IMG854", Layer.CONTAINER, source="CUDA driver API, cuInit", explained_by=BELOW)
def no_cuda_inside(facts: Facts) -> Optional[Verdict]:
    """CUDA starts on this machine and not in a container of the image."""
    image = facts.image
    if image is None or not image.has_gpu or facts.gpu.init_code != 0:
        return None
    code = image.gpu.init_code
    if code == 0:
        return None
    seen = code.reason if isinstance(code, Unknown) else "no libcuda" if code is None else code
    return fault(
        "CUDA works on this machine and not inside the image",
        evidence=(f"cuInit here: 0; inside: {seen}", f"nvidia-smi inside: {image.gpu.smi}"),
        why="something in the image is in the way: its variables, libraries or user",
        fix=(
            f"docker run --rm --gpus all --entrypoint nvidia-smi {image.reference}",
            "compare with an image of `make image`",
        ),
        verify=NEED,
    )


@rule(
    "IMG855",
    Layer.CONTAINER,
    source="NVIDIA Container Toolkit, NVIDIA_REQUIRE_*",
    cause_id="driver_too_old_for_cuda",
)
def driver_refused(facts: Facts) -> Optional[Verdict]:
    """NVIDIA_REQUIRE_CUDA of the image asks for a newer driver than is here."""
    image, seen = facts.image, driver(facts)
    if image is None or not image.required_cuda or not seen:
        return None
    offered = known(facts.gpu.cuda_version, None) or support.cuda_of_driver(seen, platform(facts))
    if not offered or meets(image.required_cuda, cuda=offered, driver=seen) is not False:
        return None
    return fault(
        "the GPU runtime would refuse to start the image on this driver",
        evidence=(
            f"NVIDIA_REQUIRE_CUDA={image.required_cuda[:120]}",
            f"driver: {seen} (CUDA {offered})",
        ),
        why="`nvidia-container-cli: requirement error: unsatisfied condition`, although what is "
        "installed in the image may run: the variable is about NVIDIA's base image",
        fix=(
            "docker run -e NVIDIA_DISABLE_REQUIRE=1 …   (if no TORCH finding stands here)",
            *remedies.update_driver(facts),
        ),
        verify=f"`docker run --rm --gpus all --entrypoint nvidia-smi {image.reference}`",
    )


def meets(required: str, *, cuda: str, driver: str) -> Optional[bool]:
    """Tell whether a driver meets NVIDIA_REQUIRE_CUDA; None where the card's brand decides.

    A space is an or, a comma an and: `cuda>=12.8 brand=tesla,driver>=535,driver<536`.
    """
    values = {"cuda": cuda, "driver": driver}
    undecided = False
    for alternative in required.split():
        conditions = re.findall(r"(\w+)(>=|<=|<|>|=)([\w.]+)", alternative)
        known_ones = [each for each in conditions if each[0] in values]
        if all(_holds(values[name], sign, wanted) for name, sign, wanted in known_ones):
            if len(known_ones) == len(conditions):
                return True
            undecided = True
    return None if undecided else False


def _holds(value: str, sign: str, wanted: str) -> bool:
    parts = len(support.version(wanted))
    mine, theirs = support.version(value)[:parts], support.version(wanted)
    return {
        ">=": mine >= theirs, "<=": mine <= theirs, ">": mine > theirs, "<": mine < theirs,
        "=": mine == theirs,
    }[sign]  # fmt: skip


@rule("IMG856", Layer.COMPANIONS, source="labels of the images of trainbox")
def mislabelled(facts: Facts) -> Optional[Verdict]:
    """An image of trainbox holds another torch or Python than its labels say."""
    image = facts.image
    if image is None or not image.python.version or not image.variant:
        return None
    wrong = _differences(facts, image)
    if not wrong:
        return None
    return fault(
        f"the image does not hold what its label `{image.variant}` says",
        evidence=wrong,
        why="the record of a run takes the labels' word for what ran",
        fix=f"build it again: make image VARIANT={image.variant}",
        verify=NEED,
    )


def _differences(facts: Facts, image: Image) -> tuple[str, ...]:
    """Return each label that the contents contradict."""
    found = []
    line = ".".join(image.python.version.split(".")[:2])
    if image.labelled_python and line and line != image.labelled_python:
        found.append(f"label: Python {image.labelled_python}; inside: {image.python.version}")
    variant = next((each for each in VARIANTS if each.name == image.variant), None)
    cuda = known(image.python.torch_cuda, None)
    inside = f"{image.python.packages.get('torch') or 'no torch'} (CUDA {cuda or 'none'})"
    if variant is None or isinstance(image.python.torch_cuda, Unknown):
        return tuple(found)
    is_other = support.version(torch_version(facts)) != support.version(variant.torch)
    if is_other or (variant.cuda and cuda != variant.cuda):
        wanted = f"torch {variant.torch}" + (f" (CUDA {variant.cuda})" if variant.cuda else "")
        found.append(f"label {image.variant}: {wanted}; inside: {inside}")
    return tuple(found)


@rule(
    "IMG857",
    Layer.PYTHON,
    source="PEP 600; wheels of torch from 2.6 are manylinux_2_28",
    cause_id="glibc_or_libstdcxx_too_old",
)
def old_glibc(facts: Facts) -> Optional[Verdict]:
    """The image has musl or a C library older than 2.28: the wheels do not load in it."""
    image = facts.image
    if image is None or not image.python.version:
        return None
    glibc = image.host.glibc
    if glibc and support.version(glibc) >= (2, 28):
        return None
    seen = f"glibc {glibc}" if glibc else "no glibc (musl)"
    verdict = fault if "torch" in image.python.packages else warning
    return verdict(
        f"the image has {seen}: the wheels of torch need glibc 2.28 or newer",
        evidence=f"image: {image.reference}: {image.host.distribution_name or 'no os-release'}",
        why="nothing of the training stack can be installed or loaded in it",
        fix="build on another base: Debian 10, Ubuntu 20.04 or newer (not Alpine)",
        verify="`ldd --version` in the image prints 2.28 or newer",
    )


@rule("IMG858", Layer.PYTHON, source="docs: what training imports")
def no_torch(facts: Facts) -> Optional[Verdict]:
    """The image has a Python that sees no torch."""
    image = facts.image
    if image is None or not image.python.version or "torch" in image.python.packages:
        return None
    return warning(
        "the image's Python has no torch: nothing can be trained in it",
        evidence=f"image: {image.reference}: Python {image.python.version}, no torch",
        why="a base image, or one whose packages are in an environment that is not on its PATH",
        fix="use an image of `make image`, or put the environment's bin folder first on PATH",
        verify=f"`docker run --rm --entrypoint python3 {image.reference} -c 'import torch'`",
    )
