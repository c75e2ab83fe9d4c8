"""All rules. The order within a layer is the order findings are shown in."""

from __future__ import annotations

from env_check.rules import (
    bnb,
    container,
    deep,
    driver,
    extensions,
    gpu,
    image,
    job,
    kernel_module,
    network,
    platform,
    python,
    storage,
    torch,
    wsl,
)
from env_check.rules.rule import Rule

FAMILIES = {
    "HOST": "operating system and machine",
    "DRV": "kernel module and driver",
    "CTR": "containers",
    "IMG": "an image beside this machine (`--image`)",
    "GPU": "what a program sees of the GPU",
    "PY": "Python and its packages",
    "TORCH": "torch builds",
    "BNB": "bitsandbytes",
    "EXT": "extensions and compilers",
    "STO": "memory and disks",
    "NET": "network, hub, tracking",
    "JOB": "what a job asks for",
    "DEEP": "what was tried",
}

MODULES = (
    platform,
    kernel_module,
    wsl,
    driver,
    container,
    image,
    gpu,
    python,
    torch,
    bnb,
    extensions,
    storage,
    network,
    job,
    deep,
)

RULES: tuple[Rule, ...] = tuple(
    value for module in MODULES for value in vars(module).values() if isinstance(value, Rule)
)

# What is asked of a container of an image besides: what it was given, and what its files hide.
INSIDE: tuple[Rule, ...] = (
    container.lost_devices,
    container.no_compute_capability,
    container.image_has_driver,
    driver.compat_refused,
)
