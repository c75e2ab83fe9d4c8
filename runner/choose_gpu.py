"""Which card of this machine a job trains on."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.errors import PlanError
from runner.machine import Gpu, Machine
from runner.spec import Job

# A card as the Container Device Interface names it: nvidia.com/gpu=0, =all, =GPU-<uuid>.
CDI_NAME = re.compile(r"nvidia\.com/gpu=(?P<device>\S+)")


def choose_gpu(job: Job, machine: Machine) -> Gpu | None:
    """Return the card the job names, the first one, or None for the CPU.

    Raises:
        PlanError: the job names a card that is not here.
    """
    if not job.resources.gpus or (not machine.gpus and job.resources.gpu is None):
        return None
    wanted = job.resources.gpu
    found = find_gpu(wanted, machine.gpus)
    if found is not None:
        return found
    present = ", ".join(f"{gpu.index}: {gpu.name}" for gpu in machine.gpus) or "none"
    raise PlanError(
        id="plan-gpu-absent",
        what=f"`resources.gpu` asks for {wanted!r}, which is not in this machine ({present})",
        why="training on another card than the one asked for may not fit or cost more",
        fix="name one that is here, or leave `resources.gpu` out to take the first",
    )


def find_gpu(wanted: int | str | None, gpus: Sequence[Gpu]) -> Gpu | None:
    """Return the card of that index, UUID, CDI name or part of a name; None takes the first."""
    device = str(wanted)
    if is_cdi := CDI_NAME.fullmatch(device):
        device = is_cdi["device"]
    for gpu in gpus:
        is_named = device in (str(gpu.index), gpu.uuid) or device.lower() in gpu.name.lower()
        if wanted is None or device == "all" or is_named:
            return gpu
    return None
