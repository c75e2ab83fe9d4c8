"""Pure look-ups over the tables: what fits what, and which published source says so.

Nothing here reads the machine. A question the tables cannot answer gives None (or an empty
tuple), never a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from env_check.tables import bitsandbytes_builds, cuda_drivers, gpus, packages, torch_builds

Version = tuple[int, ...]


def version(text: str) -> Version:
    """Return the leading numbers: `2.6.0+cu124` is (2, 6, 0), `v550.54` is (550, 54)."""
    found = re.match(r"\s*v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def minor(text: str) -> Version:
    """Return major and minor of a version: `12.4.1` is (12, 4)."""
    return (*version(text), 0)[:2]


def cuda_of_tag(tag: str) -> Optional[str]:
    """Return the CUDA version of a build tag: `cu124` is 12.4, `cu92` is 9.2; else None."""
    found = re.fullmatch(r"cu(\d{2,3})", tag.strip().lstrip("+"))
    return None if not found else f"{found.group(1)[:-1]}.{found.group(1)[-1]}"


def tag_of_cuda(cuda: str) -> str:
    """Return the build tag of a CUDA version: 12.4 or 12.4.1 is `cu124`."""
    return "cu" + "".join(str(part) for part in minor(cuda))


# ---- driver and CUDA


@dataclass(frozen=True)
class DriverFloor:
    """The oldest drivers for programs built with one CUDA toolkit."""

    cuda: str
    minimum: str  # machine code of the GPU is in the program: minor-version compatibility
    full: str  # PTX and everything new in that minor; "" where the vendor states none
    source: str


def driver_floor(cuda: str, platform: str = "linux") -> Optional[DriverFloor]:
    """Return the driver floor of a CUDA version; on `windows` and `wsl` that of the Windows driver.

    Args:
        cuda: `12.4`, `12.4.1` or a build tag such as `cu124`.
        platform: `linux`, `wsl` or `windows`.
    """
    wanted = minor(cuda_of_tag(cuda) or cuda)
    column = 2 if platform == "linux" else 3
    rows = [row for row in cuda_drivers.TOOLKITS if minor(row[0]) == wanted]
    if not rows:
        return None
    drivers = [row[column] for row in rows if row[column]]
    full = min(drivers, key=version) if drivers else ""
    floor = cuda_drivers.MINOR_VERSION_FLOOR.get(wanted[0])
    if floor is None:
        return DriverFloor(f"{wanted[0]}.{wanted[1]}", full, full, "release-notes")
    minimum = floor[0] if platform == "linux" else floor[1]
    if wanted == (11, 0) and full:
        minimum = full  # 11.0 came before minor-version compatibility
    return DriverFloor(f"{wanted[0]}.{wanted[1]}", minimum, full, "cuda-compat")


def cuda_of_driver(driver: str, platform: str = "linux") -> Optional[str]:
    """Return the newest CUDA API a driver offers; None for one older than the table.

    A branch the table lacks gets the value of the nearest older one.
    """
    branch = (version(driver) or (0,))[0]
    table = dict(cuda_drivers.DRIVER_BRANCHES)
    if platform != "linux":
        table.update(cuda_drivers.WINDOWS_BRANCHES)
    known = [number for number in table if number <= branch]
    return table[max(known)] if known else None


def driver_runs(driver: str, cuda: str, platform: str = "linux") -> Optional[bool]:
    """Tell whether a driver runs programs of a CUDA version that carry code for the GPU."""
    floor = driver_floor(cuda, platform)
    if floor is None or not floor.minimum or not version(driver):
        return None
    return version(driver) >= version(floor.minimum)


def driver_jits(driver: str, cuda: str, platform: str = "linux") -> Optional[bool]:
    """Tell whether a driver compiles PTX made by a CUDA version: its own CUDA must be as new."""
    offered = cuda_of_driver(driver, platform)
    return None if offered is None else minor(offered) >= minor(cuda_of_tag(cuda) or cuda)


def cuda_of_api(number: int) -> str:
    """Return the version behind an API level: 12040 (cuDriverGetVersion, torch) is 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"


def last_driver_branch(capability: str) -> Optional[int]:
    """Return the last driver branch of a compute capability, None while it is still supported."""
    for bound, branch in cuda_drivers.LAST_BRANCH:
        if minor(capability) < minor(bound):
            return branch
    return None


def first_driver_branch(capability: str) -> Optional[int]:
    """Return the first driver branch that knows a compute capability, None if not tabled."""
    return cuda_drivers.FIRST_BRANCH.get(capability)


def is_forward_compatible(card: Gpu) -> bool:
    """Tell whether a cuda-compat libcuda can work on this card at all."""
    return card.kind in cuda_drivers.FORWARD_COMPATIBLE_CLASSES


# ---- GPUs


@dataclass(frozen=True)
class Gpu:
    """One product as sold; memory lists every variant under the name."""

    name: str
    capability: str
    architecture: str
    memory_gib: tuple[int, ...]
    bandwidth_gb_per_second: float  # 0 where not tabled
    kind: str  # datacenter, workstation, consumer, jetson, dgx-spark
    source: str

    @property
    def is_datacenter(self) -> bool:
        return self.kind == "datacenter"

    @property
    def has_native_bf16(self) -> bool:
        """Ampere and newer; torch only emulates bf16 below."""
        return minor(self.capability) >= (8, 0)


GPUS: tuple[Gpu, ...] = tuple(Gpu(*row) for row in gpus.GPUS)

_NOISE = re.compile(r"\b(nvidia|geforce|tesla|quadro|graphics|card|gpu|generation)\b|\(r\)|\(tm\)")
_FORM = re.compile(r"\b(pcie|sxm\d?|hbm\d\w?|nvl|dgxs|\d+gb)\b")


def _plain(name: str) -> str:
    text = _NOISE.sub(" ", name.lower().replace("-", " "))
    text = re.sub(r"\b(rtx|gtx)(\d)", r"\1 \2", text)
    return " ".join(re.sub(r"(\d)(ti|super)\b", r"\1 \2", text).split())


_BY_NAME = {_plain(card.name): card for card in reversed(GPUS)}
_BY_CHIP = {" ".join(_FORM.sub(" ", key).split()): card for key, card in _BY_NAME.items()}


def gpu(name: str) -> Optional[Gpu]:
    """Return the card of a name as nvidia-smi, torch or a person writes it, None if not tabled.

    `NVIDIA A100-SXM4-80GB MIG 1g.10gb`, `rtx3090`, `Tesla V100-DGXS-32GB` are found.
    """
    plain = _plain(re.sub(r"\bMIG\b.*", "", name, flags=re.IGNORECASE))
    if plain in _BY_NAME:
        return _BY_NAME[plain]
    return _BY_CHIP.get(" ".join(_FORM.sub(" ", plain).split()))


def capability_of_sm(text: str) -> str:
    """Return the capability of an architecture name: `sm_86` is 8.6, `sm_120a` is 12.0."""
    digits = re.sub(r"\D", "", text)
    return f"{digits[:-1]}.{digits[-1]}"


def code_runs_on(code: str, capability: str) -> bool:
    """Tell whether machine code for one architecture runs on a device (both as `8.6`)."""
    row = torch_builds.RUNS_ON.get(code)
    if row is None:
        same_major = minor(code)[0] == minor(capability)[0]
        return same_major and minor(capability) >= minor(code)
    low, too_high, left_out = row
    if (code, capability) == ("10.1", "11.0"):
        return True
    return minor(low) <= minor(capability) < minor(too_high) and capability not in left_out


def gpu_fit(capability: str, architectures: tuple[str, ...], ptx: str = "") -> str:
    """Return how a GPU stands to a list of architectures: `fits`, `jit`, `too-new` or `too-old`.

    `jit`: only through PTX, which needs a driver of the CUDA version of the build. A hole in
    the middle of the list counts as `too-old`: the list has moved on.
    """
    if any(code_runs_on(code, capability) for code in architectures):
        return "fits"
    if ptx and minor(capability) >= minor(ptx):
        return "jit"
    highest = max((minor(code) for code in architectures), default=(0, 0))
    return "too-new" if minor(capability) > highest else "too-old"


# ---- torch


@dataclass(frozen=True)
class TorchBuild:
    """One CUDA build of one torch release line on one machine type."""

    torch: str  # major.minor
    tag: str  # cu128
    machine: str  # x86_64 or aarch64
    architectures: tuple[str, ...]
    ptx: str  # "" = none or unknown
    source: str

    @property
    def cuda(self) -> str:
        return cuda_of_tag(self.tag) or ""

    def fit(self, capability: str) -> str:
        return gpu_fit(capability, self.architectures, self.ptx)


def torch_build(torch: str, tag: str = "", machine: str = "x86_64") -> Optional[TorchBuild]:
    """Return the build of a torch version: `2.6.0+cu124`, or `2.6.0` and a tag or a CUDA version.

    None for a CPU build and where no architecture list is known.
    """
    base, _, local = torch.partition("+")
    tag = tag_of_cuda(tag) if re.match(r"\d", tag) else tag or local or default_tag(base, machine)
    for first, last, build, on, architectures, ptx, source in torch_builds.ARCH_LISTS:
        if build == tag and on == machine and minor(first) <= minor(base) <= minor(last):
            line = ".".join(str(part) for part in minor(base))
            return TorchBuild(line, build, on, architectures, ptx, source)
    return None


def default_tag(torch: str, machine: str = "x86_64", platform: str = "linux") -> str:
    """Return what a plain pip install of this release brings: `cu130`, `cpu`, "" if unknown."""
    if platform == "windows":
        return "cpu"
    for row in torch_builds.RELEASES:
        if minor(row[0]) == minor(torch):
            return row[1] if machine == "x86_64" else row[2]
    return ""


def torch_lines() -> tuple[str, ...]:
    """Return the tabled release lines, newest first (`2.15`, `2.14`, …)."""
    lines = {minor(row[0]) for row in torch_builds.RELEASES}
    return tuple(f"{major}.{line}" for major, line in sorted(lines, reverse=True))


def torch_releases() -> tuple[str, ...]:
    """Return the tabled releases, newest first (`2.15.0`, `2.14.1`, …)."""
    return tuple(row[0] for row in reversed(torch_builds.RELEASES))


def builds_for(
    capability: str, driver: str = "", platform: str = "linux", machine: str = "x86_64"
) -> tuple[TorchBuild, ...]:
    """Return the published builds that run on a GPU and driver, newest torch and CUDA first.

    Without a driver only the GPU decides. A build that would need PTX counts only where the
    driver can compile it.
    """
    found = []
    for line in torch_lines():
        tags = next(row[3] for row in torch_builds.RELEASES if minor(row[0]) == minor(line))
        for tag in sorted(tags, key=lambda each: minor(cuda_of_tag(each) or ""), reverse=True):
            build = torch_build(line, tag, machine)
            if build and _build_runs(build, capability, driver, platform):
                found.append(build)
    return tuple(found)


def _build_runs(build: TorchBuild, capability: str, driver: str, platform: str) -> bool:
    fit = build.fit(capability)
    if driver and not driver_runs(driver, build.cuda, platform):
        return False
    if fit == "jit":
        return not driver or bool(driver_jits(driver, build.cuda, platform))
    return fit == "fits"


# ---- companions and packages


def companions_of(torch: str) -> Optional[tuple[str, str]]:
    """Return torchvision and torchaudio of a torch release ("" = none); exact row, then line."""
    rows = packages.COMPANIONS
    exact = [row for row in rows if version(row[0]) == version(torch)]
    line = [row for row in rows if minor(row[0]) == minor(torch)]
    return (exact or line)[-1][1:] if exact or line else None


def companion_fits(package: str, installed: str, torch: str) -> Optional[bool]:
    """Tell whether a torchvision or torchaudio belongs to a torch line; None without a rule."""
    unpinned = version(packages.FIRST_UNPINNED_TORCHVISION)
    if package == "torchvision" and version(installed) >= unpinned:
        return minor(torch) >= (2, 14)
    pair = companions_of(torch)
    wanted = "" if pair is None else pair[0] if package == "torchvision" else pair[1]
    return minor(installed) == minor(wanted) if wanted else None


def triton_of(torch: str) -> Optional[str]:
    """Return the triton a torch line pins (`3.5.x`)."""
    return packages.TRITON.get(".".join(str(part) for part in minor(torch)))


def torch_of_xformers(xformers: str) -> Optional[str]:
    """Return the torch requirement of an xformers release, None if not tabled."""
    return packages.XFORMERS.get(xformers)


# ---- bitsandbytes


@dataclass(frozen=True)
class BnbLibrary:
    """The CUDA library a bitsandbytes release would load for one CUDA version of torch."""

    cuda: str  # digits as in the file name: 128
    architectures: tuple[str, ...]
    ptx: str
    is_exact: bool  # False: the closest one, taken with a warning (0.50 and newer)


def bnb_cudas(bnb: str) -> tuple[str, ...]:
    """Return the CUDA libraries in a release (`118`, `121`, …), empty if not tabled."""
    rows = bitsandbytes_builds.LIBRARIES
    return tuple(cuda for row in rows if _within(bnb, row[0], row[1]) for cuda in row[2])


def bnb_library(bnb: str, cuda: str) -> Optional[BnbLibrary]:
    """Return the library of a release for torch's CUDA (`12.8` or `cu128`); None if it has none."""
    digits = tag_of_cuda(cuda_of_tag(cuda) or cuda)[2:]
    shipped = bnb_cudas(bnb)
    wanted = digits
    if digits not in shipped:
        same_major = [each for each in shipped if each[:2] == digits[:2]]
        if version(bnb) < version(bitsandbytes_builds.FIRST_CLOSEST_MATCH) or not same_major:
            return None
        wanted = min(same_major, key=lambda each: abs(int(each) - int(digits)))
    for first, last, cudas, architectures, ptx, _ in bitsandbytes_builds.LIBRARIES:
        if _within(bnb, first, last) and wanted in cudas:
            return BnbLibrary(wanted, architectures, ptx, wanted == digits)
    return None


def bnb_releases_with(cuda: str, capability: str = "") -> tuple[str, ...]:
    """Return releases with an exact library for this CUDA (and GPU), newest first."""
    ends = sorted({row[1] for row in bitsandbytes_builds.LIBRARIES}, key=version, reverse=True)
    found = []
    for release in ends:
        library = bnb_library(release, cuda)
        if library is None or not library.is_exact:
            continue
        fit = gpu_fit(capability, library.architectures, library.ptx) if capability else "fits"
        if fit in ("fits", "jit"):
            found.append(release)
    return tuple(found)


def _within(release: str, first: str, last: str) -> bool:
    return version(first) <= version(release)[:3] <= version(last)
