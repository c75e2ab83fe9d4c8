"""What several rules read out of the facts: the card, its driver, the platform of the tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from env_check import support
from env_check.facts import Facts, Image, Requirements, StepResult, Unknown, known

# Device ids of vendor 10de by chip family, first and last. Source: the PCI ID database (pci.ids).
CHIPS: tuple[tuple[int, int, str], ...] = (
    (0x0FC0, 0x12FF, "Kepler"),
    (0x1340, 0x157F, "Maxwell"),
    (0x1580, 0x15FF, "Pascal"),
    (0x1600, 0x17FF, "Maxwell"),
    (0x1B00, 0x1D7F, "Pascal"),
    (0x1D80, 0x1DFF, "Volta"),
    (0x1E00, 0x1FFF, "Turing"),
    (0x2080, 0x20FF, "Ampere"),
    (0x2180, 0x21FF, "Turing"),
    (0x2200, 0x22FF, "Ampere"),
    (0x2300, 0x23FF, "Hopper"),
    (0x2400, 0x25FF, "Ampere"),
    (0x2680, 0x28FF, "Ada"),
    (0x2900, 0x31FF, "Blackwell"),
)
# The families whose drivers have ended: what fits the oldest capability fits the family.
OLDEST_CAPABILITY = {"Kepler": "3.5", "Maxwell": "5.0", "Pascal": "6.0", "Volta": "7.0"}
BEFORE_TURING = tuple(OLDEST_CAPABILITY)


def platform(facts: Facts) -> str:
    """Return the column of the driver tables: under WSL the Windows driver decides."""
    return "wsl" if facts.host.wsl else "linux"


def chip(device_id: str) -> str:
    """Return the chip family of a PCI device id of NVIDIA, empty where no range has it."""
    try:
        number = int(device_id, 16)
    except ValueError:
        return ""
    return next((name for low, high, name in CHIPS if low <= number <= high), "")


def nvidia_cards(facts: Facts) -> tuple[str, ...]:
    """Return the device ids of NVIDIA's cards on the bus."""
    return tuple(card.device_id for card in facts.gpu.cards if card.vendor == "nvidia")


def card_names(facts: Facts) -> str:
    """Return the cards in words, as well as they are known."""
    if facts.gpu.devices:
        names = [device.name for device in facts.gpu.devices]
        return ", ".join(
            f"{names.count(name)} x {name}" if names.count(name) > 1 else name
            for name in dict.fromkeys(names)
        )
    cards = nvidia_cards(facts)
    return ", ".join(f"NVIDIA {chip(each) or 'card'} (PCI 10de:{each})" for each in cards)


def chips(facts: Facts) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in map(chip, nvidia_cards(facts)) if name))


def has_gpu(facts: Facts) -> bool:
    """Tell whether this machine has, or is meant to have, an NVIDIA GPU."""
    gpu = facts.gpu
    return bool(
        nvidia_cards(facts)
        or gpu.module_version
        or gpu.devices
        or gpu.has_wsl_libcuda
        or any(node != "dxg" for node in gpu.nodes)
    )


def driver(facts: Facts) -> str:
    """Return the driver version that decides, empty where it is not known."""
    seen = known(facts.gpu.driver_version, None)
    if seen:
        return seen
    return "" if facts.host.wsl else facts.gpu.module_version or ""


def capabilities(facts: Facts) -> tuple[str, ...]:
    """Return the distinct compute capabilities that are known, lowest first."""
    seen = {
        device.compute_capability
        for device in facts.gpu.devices
        if not isinstance(device.compute_capability, Unknown)
    }
    return tuple(sorted(seen, key=support.minor))


def dropped_chip(facts: Facts) -> str:
    """Return the family of a card that the driver no longer knows, empty where there is none."""
    branch = (support.version(driver(facts)) or (0,))[0]
    for name in chips(facts):
        last = support.last_driver_branch(OLDEST_CAPABILITY.get(name, "99"))
        if last is not None and branch > last:
            return name
    return ""


def torch_version(facts: Facts) -> str:
    """Return the torch version without its tag, empty where torch is not installed."""
    return facts.python.packages.get("torch", "").partition("+")[0]


def torch_cuda(facts: Facts) -> Optional[str]:
    """Return the CUDA version of torch, None for no torch, a CPU build, or not known."""
    return known(facts.python.torch_cuda, None)


def torch_build(facts: Facts) -> Optional[support.TorchBuild]:
    """Return the table row of the installed torch."""
    cuda = torch_cuda(facts)
    if not cuda:
        return None
    return support.torch_build(torch_version(facts), cuda, facts.host.machine)


def with_image(facts: Facts, image: Image, deep: tuple[StepResult, ...] = ()) -> Facts:
    """Return a machine whose Python is that of an image: what training in it would meet."""
    return replace(facts, image=image, python=image.python, deep=deep)


def inside(image: Image) -> Facts:
    """Return a container of an image as a machine of its own."""
    return Facts(host=image.host, gpu=image.gpu, python=image.python)


def needs_hub(wants: Optional[Requirements]) -> bool:
    """Tell whether a job has something to get from the hub."""
    return wants is not None and (wants.needs_download or wants.needs_hub)


def gib(num_bytes: float) -> str:
    """Return bytes as GiB in words."""
    value = num_bytes / (1 << 30)
    return f"{value:.0f} GiB" if value >= 10 else f"{value:.2g} GiB"
