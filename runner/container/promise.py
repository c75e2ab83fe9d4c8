"""What an image promises about its CUDA: computed from the lock and env_check's tables.

The build fails where the installed files say otherwise (image/prove.py), so that labels, tables and
files are one truth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from env_check import support


@dataclass(frozen=True, kw_only=True)
class Promise:
    """The facts by which a host is judged before the image is pulled.

    `driver` is the oldest driver that starts the machine code, `driver_cuda` the CUDA version that
    it shows; `architectures` are compute capabilities such as `8.0`; `ptx` is the one that newer
    cards compile from, or empty.
    """

    torch: str
    cuda: str
    driver: str
    driver_cuda: str
    architectures: tuple[str, ...]
    ptx: str
    bitsandbytes_cuda: str  # of its library: `130`
    bitsandbytes_architectures: tuple[str, ...]
    bitsandbytes_ptx: str


def promise_of_versions(versions: Mapping[str, str], machine: str = "x86_64") -> Promise | None:
    """Return the promise of locked versions, or None where they hold no CUDA build of torch.

    Raises:
        LookupError: env_check knows no such build, so nothing can be promised.
    """
    torch = versions.get("torch", "+cpu")
    if torch.endswith("+cpu"):
        return None
    bitsandbytes = versions["bitsandbytes"]
    build = support.torch_build(torch, machine=machine)
    library = support.bnb_library(bitsandbytes, build.cuda) if build else None
    floor = support.driver_floor(build.cuda) if build else None
    if build is None or library is None or floor is None:
        raise LookupError(f"no table knows torch {torch} with bitsandbytes {bitsandbytes}")
    return Promise(
        torch=torch,
        cuda=build.cuda,
        driver=floor.minimum,
        driver_cuda=support.cuda_of_driver(floor.minimum) or build.cuda,
        architectures=build.architectures,
        ptx=build.ptx,
        bitsandbytes_cuda=library.cuda,
        bitsandbytes_architectures=library.architectures,
        bitsandbytes_ptx=library.ptx,
    )


def provable(promise: Promise | None) -> str:
    """Return what installed files can show of a promise: JSON, in one line."""
    facts = {} if promise is None else asdict(promise)
    for name in ("driver", "driver_cuda"):  # a driver is no part of an image
        facts.pop(name, None)
    return json.dumps(facts or {"cuda": None}, separators=(",", ":"))


def labels_of(promise: Promise) -> dict[str, str]:
    """Return the image labels that say the same before anybody pulls the image."""
    return {
        "trainbox.torch": promise.torch,
        "trainbox.cuda": promise.cuda,
        "trainbox.driver": promise.driver,
        "trainbox.architectures": " ".join(promise.architectures),
        "trainbox.ptx": promise.ptx,
    }
