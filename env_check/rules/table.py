"""All rules. The order within a layer is the order findings are shown in."""

from __future__ import annotations

from env_check.rules import (
    bnb,
    container,
    deep,
    driver,
    extensions,
    gpu,
    job,
    network,
    platform,
    python,
    storage,
    torch,
)
from env_check.rules.rule import Rule

FAMILIES = {
    "HOST": "operating system and machine",
    "DRV": "kernel module and driver",
    "CTR": "containers",
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
    driver,
    container,
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
