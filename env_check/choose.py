"""Which image variant fits this machine, which it excludes, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional

from env_check import support
from env_check.facts import Facts, Unknown
from env_check.inference import (
    OLDEST_CAPABILITY,
    capabilities,
    driver,
    dropped_chip,
    has_gpu,
    platform,
)
from env_check.tables import bitsandbytes_builds


@dataclass(frozen=True)
class Variant:
    """One image: its torch and the CUDA that torch was built with."""

    name: str
    torch: str
    cuda: str
    driver_floor: str
    """Computed from the wheels; empty = none."""

    def build(self, machine: str) -> Optional[support.TorchBuild]:
        """Return its torch: the wheel that PyPI has, which on arm64 is often one for the CPU."""
        if support.default_tag(self.torch, machine) != self.name:
            return None
        return support.torch_build(self.torch, self.cuda, machine)


# Newest first: the first that fits is taken. Source: docs of the images; the locks pin the same.
VARIANTS = (
    Variant("cu130", "2.13.0", "13.0", "580.65.06"),
    Variant("cu128", "2.10.0", "12.8", "525.60.13"),
    Variant("cu126", "2.7.1", "12.6", "525.60.13"),
    Variant("cpu", "2.13.0", "", ""),
)
GPU_VARIANTS = VARIANTS[:-1]
OTHER_MACHINE = "use a Linux machine (x86_64, or aarch64), or WSL 2 on Windows"
# Drivers that a way out may propose, newest first; each is tried before it is said.
PROPOSED_DRIVERS = ("580.95.05", "570.124.06")


@dataclass(frozen=True)
class Excluded:
    """A variant that does not run here."""

    variant: str
    reason: str


@dataclass(frozen=True)
class Choice:
    """The variant for a machine."""

    variant: Optional[str]
    """None = none fits, or too little is known."""
    reason: str
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[str, ...] = ()
    way_out: str = ""
    """What would make one fit; empty where one does."""
    is_decided: bool = True
    """False where too little is known to choose."""


@dataclass(frozen=True)
class Target:
    """What decides which image runs: the cards to train on, their driver, the processor."""

    capabilities: tuple[str, ...]
    """Distinct compute capabilities (`8.9`)."""
    driver: str
    """As nvidia-smi prints it; under WSL that of Windows."""
    machine: str = "x86_64"
    platform: str = "linux"
    """linux or wsl: which column of the driver tables counts."""
    names: tuple[str, ...] = ()
    """As nvidia-smi prints them; empty = not known."""


def choose(facts: Facts) -> Choice:
    """Return the newest variant that runs on all cards of a machine."""
    if facts.host.machine not in ("x86_64", "aarch64") or facts.host.system != "Linux":
        reason = f"there is no image for {facts.host.system} on {facts.host.machine or '?'}"
        return Choice(None, reason, way_out=OTHER_MACHINE)
    if not has_gpu(facts):
        return Choice("cpu", "there is no NVIDIA GPU", _without_gpu())
    target = target_of(facts)
    unread = any(isinstance(each.compute_capability, Unknown) for each in facts.gpu.devices)
    if not facts.gpu.devices and (chip := dropped_chip(facts)):
        return _dropped(facts, chip)
    if not target.driver or not target.capabilities or unread:
        missing = "the driver's version" if not target.driver else "the GPU's compute capability"
        return Choice(
            None,
            f"{missing} is not known",
            way_out="`env-check` says what to mend first",
            is_decided=False,
        )
    return choose_for(target)


def target_of(facts: Facts) -> Target:
    """Return the cards and the driver of a machine, as far as they are known."""
    return Target(
        capabilities=capabilities(facts),
        driver=driver(facts),
        machine=facts.host.machine,
        platform=platform(facts),
        names=tuple(device.name for device in facts.gpu.devices),
    )


def choose_for(target: Target) -> Choice:
    """Return the newest variant whose code and driver floor these cards meet."""
    excluded: list[Excluded] = []
    for variant in GPU_VARIANTS:
        reason = why_not(variant, target)
        if not reason:
            seen = ", ".join(target.capabilities)
            fits = f"compute capability {seen} and driver {target.driver} fit"
            return Choice(variant.name, fits, tuple(excluded), notes(variant, target))
        excluded.append(Excluded(variant.name, reason))
    return Choice(
        None,
        "no GPU image runs on this card and driver (the cpu image does, slowly)",
        tuple(excluded),
        way_out=way_out(target),
    )


def _without_gpu() -> tuple[Excluded, ...]:
    return tuple(Excluded(variant.name, "needs an NVIDIA GPU") for variant in GPU_VARIANTS)


def _dropped(facts: Facts, chip: str) -> Choice:
    """Return the choice for a card that the driver, newer than its last branch, does not list."""
    reason = f"driver {driver(facts)} no longer knows {chip} cards"
    target = replace(target_of(facts), capabilities=(OLDEST_CAPABILITY[chip],))
    excluded = tuple(Excluded(variant.name, reason) for variant in GPU_VARIANTS)
    return Choice(None, reason, excluded, way_out=way_out(target))


def why_not(variant: Variant, target: Target) -> str:
    """Return why a variant does not run on these cards, empty where it does."""
    build = variant.build(target.machine)
    if build is None:
        return f"torch {variant.torch} has no CUDA {variant.cuda} build for {target.machine}"
    seen, branch = target.driver, support.version(target.driver)[0]
    for capability in target.capabilities:
        fit = build.fit(capability)
        if fit in ("too-old", "too-new"):
            word = "no longer has" if fit == "too-old" else "does not have"
            return f"its torch {word} code for compute capability {capability}"
        if fit == "jit" and not support.driver_jits(seen, variant.cuda, target.platform):
            return f"compute capability {capability} needs a driver of CUDA {variant.cuda}"
        first = support.first_driver_branch(capability)
        if first and branch < first:
            return f"compute capability {capability} needs driver {first} or newer, this is {seen}"
        last = support.last_driver_branch(capability)
        if last and branch > last:
            return f"driver {last} is the last for compute capability {capability}, this is {seen}"
    if not support.driver_runs(seen, variant.cuda, target.platform):
        floor = support.driver_floor(variant.cuda, target.platform)
        needed = floor.minimum if floor else variant.driver_floor
        return f"needs driver {needed} or newer, this is {seen}"
    return ""


def notes(variant: Variant, target: Target) -> tuple[str, ...]:
    """Return what the chosen variant cannot do on these cards."""
    lowest, highest = (
        pick(support.minor(each) for each in target.capabilities) for pick in (min, max)
    )
    found = []
    if lowest < support.minor(bitsandbytes_builds.FEATURES["4-bit"]):
        found.append("no 4-bit training: bitsandbytes has no code below compute capability 6.0")
    if lowest < (8, 0):
        found.append("bfloat16 is emulated: train in float16 (model.dtype: float16)")
    if variant.name != "cu130" and highest >= (10, 0):
        found.append("driver 580 or newer would allow cu130")
    return tuple(found)


def way_out(target: Target) -> str:
    """Return the nearest change after which a variant fits; it passes the same test."""
    limits = [support.last_driver_branch(each) for each in target.capabilities]
    last = min((each for each in limits if each is not None), default=None)
    for proposed in PROPOSED_DRIVERS:
        branch = support.version(proposed)[0]
        if branch == support.version(target.driver)[0] or (last is not None and branch > last):
            continue
        updated = replace(target, driver=proposed)
        fitting = [variant.name for variant in GPU_VARIANTS if not why_not(variant, updated)]
        if not fitting:
            continue
        if branch == last:
            return f"driver {branch} (the last for this card) allows {fitting[0]}"
        text = f"driver {branch} or newer allows {fitting[0]}"
        cards = [support.gpu(name) for name in target.names]
        if cards and all(card and support.is_forward_compatible(card) for card in cards):
            text += (
                "; where it must stay, cuda-compat-12-8 in an image of your own may do: forward "
                "compatibility exists on data-centre cards alone, from the branches it lists"
            )
        return text
    if any(support.minor(each) < (5, 0) for each in target.capabilities):
        return "the card is older than every build: use another card, or the cpu image"
    if len(target.capabilities) > 1:
        return "no build serves all these cards: train on those of one kind (CUDA_VISIBLE_DEVICES)"
    return "use another card, or the cpu image"


def text(choice: Choice) -> str:
    """Return the choice for a terminal."""
    lines = [f"{choice.variant or 'none'}: {choice.reason}"]
    lines += [f"  note: {each}" for each in choice.notes]
    lines += [f"  not {each.variant}: {each.reason}" for each in choice.excluded]
    if choice.way_out:
        lines.append(f"  way out: {choice.way_out}")
    return "\n".join(lines) + "\n"
