"""Which image variant fits this machine, which it excludes, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from env_check import support
from env_check.facts import Facts, Unknown
from env_check.inference import capabilities, driver, has_gpu, platform


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


def choose(facts: Facts) -> Choice:
    """Return the newest variant whose code and driver floor this machine meets."""
    if facts.host.machine not in ("x86_64", "aarch64") or facts.host.system != "Linux":
        return Choice(None, f"there is no image for {facts.host.system} on {facts.host.machine}")
    if not has_gpu(facts):
        return Choice("cpu", "there is no NVIDIA GPU", _excluded_without_gpu())
    seen, version = capabilities(facts), driver(facts)
    unread = [
        device.name
        for device in facts.gpu.devices
        if isinstance(device.compute_capability, Unknown)
    ]
    if not version or not seen or unread:
        missing = "the driver's version" if not version else "the GPU's compute capability"
        return Choice(
            None,
            f"{missing} is not known",
            way_out="`env-check` says what to mend first",
            is_decided=False,
        )
    excluded: list[Excluded] = []
    for variant in VARIANTS[:-1]:
        reason = why_not(variant, facts)
        if not reason:
            fits = f"compute capability {', '.join(seen)} and driver {version} fit"
            return Choice(variant.name, fits, tuple(excluded), notes(variant, seen))
        excluded.append(Excluded(variant.name, reason))
    return Choice(
        None,
        "no GPU image runs on this card and driver (the cpu image does, slowly)",
        tuple(excluded),
        way_out=way_out(facts),
    )


def _excluded_without_gpu() -> tuple[Excluded, ...]:
    return tuple(Excluded(variant.name, "needs an NVIDIA GPU") for variant in VARIANTS[:-1])


def why_not(variant: Variant, facts: Facts) -> str:
    """Return why a variant does not run on this machine, empty where it does."""
    build = variant.build(facts.host.machine)
    if build is None:
        return f"torch {variant.torch} has no CUDA {variant.cuda} build for {facts.host.machine}"
    version = driver(facts)
    for capability in capabilities(facts):
        fit = build.fit(capability)
        if fit in ("too-old", "too-new"):
            word = "no longer has" if fit == "too-old" else "does not have"
            return f"its torch {word} code for compute capability {capability}"
        if fit == "jit" and not support.driver_jits(version, variant.cuda, platform(facts)):
            return f"compute capability {capability} needs a driver of CUDA {variant.cuda}"
        first = support.first_driver_branch(capability)
        if first and support.version(version)[0] < first:
            return f"compute capability {capability} needs driver {first} or newer"
    if not support.driver_runs(version, variant.cuda, platform(facts)):
        floor = support.driver_floor(variant.cuda, platform(facts))
        return f"needs driver {floor.minimum if floor else variant.driver_floor}, this is {version}"
    return ""


def notes(variant: Variant, seen: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the chosen variant cannot do on these cards."""
    found = []
    if any(support.minor(each) < (6, 0) for each in seen):
        found.append("no 4-bit training: bitsandbytes has no code below compute capability 6.0")
    if any(support.minor(each) < (8, 0) for each in seen):
        found.append("bfloat16 is emulated: train in float16 (model.dtype: float16)")
    if variant.name != "cu130" and any(support.minor(each) >= (10, 0) for each in seen):
        found.append("driver 580 or newer would allow cu130")
    return tuple(found)


def way_out(facts: Facts) -> str:
    """Return the nearest change after which a variant fits; it passes the same test."""
    for branch in ("580.95.05", "570.124.06"):
        last = [support.last_driver_branch(each) for each in capabilities(facts)]
        if any(limit is not None and int(branch.split(".")[0]) > limit for limit in last):
            continue
        updated = _with_driver(facts, branch)
        fitting = [variant.name for variant in VARIANTS[:-1] if not why_not(variant, updated)]
        if fitting and support.version(driver(facts)) < support.version(branch):
            text = f"driver {branch.split('.')[0]} or newer allows {fitting[0]}"
            if any(limit is not None for limit in last):
                text = f"driver {branch.split('.')[0]} (the last for this card) allows {fitting[0]}"
            cards = [support.gpu(device.name) for device in facts.gpu.devices]
            if cards and all(card and support.is_forward_compatible(card) for card in cards):
                text += "; on these data-centre cards the package cuda-compat-12-8 may do"
            return text
    low = min((support.minor(each) for each in capabilities(facts)), default=(0, 0))
    if low < (5, 0):
        return "the card is older than every build: use another card, or the cpu image"
    return "train the cards of one kind alone (CUDA_VISIBLE_DEVICES), or use another card"


def _with_driver(facts: Facts, version: str) -> Facts:
    from dataclasses import replace

    return replace(facts, gpu=replace(facts.gpu, driver_version=version))


def text(choice: Choice) -> str:
    """Return the choice for a terminal."""
    lines = [f"{choice.variant or 'none'}: {choice.reason}"]
    lines += [f"  note: {each}" for each in choice.notes]
    lines += [f"  not {each.variant}: {each.reason}" for each in choice.excluded]
    if choice.way_out:
        lines.append(f"  way out: {choice.way_out}")
    return "\n".join(lines) + "\n"
