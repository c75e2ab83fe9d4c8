"""BNB: does bitsandbytes have a library for torch's CUDA, with code for the card."""

from __future__ import annotations

from typing import Optional

from env_check import support
from env_check.facts import Facts
from env_check.findings import Layer
from env_check.inference import capabilities, card_names, torch_cuda
from env_check.rules.rule import Verdict, fault, rule

WHEELS = "contents of the published bitsandbytes wheels"


def _digits(cuda: str) -> str:
    return support.tag_of_cuda(cuda)[2:]


def _releases(bnb: str, cuda: str, capability: str) -> list[str]:
    """Return other releases whose library for this CUDA has code for the card, newest first."""
    found = []
    for release in support.bnb_releases_with(cuda, capability):
        library = support.bnb_library(release, cuda)
        if release != bnb and library is not None:
            if support.gpu_fit(capability, library.architectures) == "fits":
                found.append(release)
    return found


@rule("BNB701", Layer.COMPANIONS, source=WHEELS, cause_id="bnb_missing_cuda_lib")
def no_library(facts: Facts) -> Optional[Verdict]:
    """The installed bitsandbytes has no library for the CUDA version of torch."""
    bnb, cuda = facts.python.packages.get("bitsandbytes"), torch_cuda(facts)
    shipped = facts.python.bnb_libraries
    if not bnb or not cuda or not shipped or facts.python.bnb_override:
        return None
    digits = _digits(cuda)
    takes_closest = support.version(bnb) >= (0, 50)
    if digits in shipped or (takes_closest and any(each[:2] == digits[:2] for each in shipped)):
        return None
    newest = support.bnb_releases_with(cuda)
    remedy = f"pip install bitsandbytes=={newest[0]}" if newest else "pip install -U bitsandbytes"
    return fault(
        f"bitsandbytes {bnb} has no library for CUDA {cuda}",
        evidence=(
            f"torch {facts.python.packages['torch']}: CUDA {cuda}, wants cuda{digits}",
            f"in the package: {', '.join('cuda' + each for each in shipped)}",
        ),
        why="4-bit loading ends with `CUDA Setup failed` or a missing libbitsandbytes_cuda file",
        fix=remedy,
        verify="`python -m bitsandbytes` ends with SUCCESS",
    )


@rule(
    "BNB702",
    Layer.COMPANIONS,
    source=WHEELS,
    cause_id="bnb_missing_cuda_lib",
    explained_by=(Layer.TORCH,),
)
def no_code(facts: Facts) -> Optional[Verdict]:
    """The library that bitsandbytes would load has no code for the card."""
    bnb, cuda = facts.python.packages.get("bitsandbytes"), torch_cuda(facts)
    library = support.bnb_library(bnb, cuda) if bnb and cuda else None
    if not bnb or not cuda or library is None or not library.architectures:
        return None
    for capability in capabilities(facts):
        fit = support.gpu_fit(capability, library.architectures, library.ptx)
        if fit in ("fits", "jit"):
            continue
        releases = _releases(bnb, cuda, capability)
        remedy = (
            f"pip install bitsandbytes=={releases[0]}"
            if releases
            else "no release has both: take a torch of another CUDA, or method lora (no 4-bit)"
        )
        return fault(
            f"bitsandbytes {bnb} has no code for this card",
            evidence=(
                f"{card_names(facts)}: compute capability {capability}",
                f"libbitsandbytes_cuda{library.cuda} has {', '.join(library.architectures)}",
            ),
            why="the first 4-bit kernel ends with `no kernel image is available`",
            fix=remedy,
            verify="`python -m bitsandbytes` ends with SUCCESS",
        )
    return None


@rule(
    "BNB703",
    Layer.COMPANIONS,
    source="bitsandbytes/cextension.py",
    cause_id="bnb_cuda_setup_failed",
)
def override(facts: Facts) -> Optional[Verdict]:
    """BNB_CUDA_VERSION names a library that the package does not have."""
    value, shipped = facts.python.bnb_override, facts.python.bnb_libraries
    if not value or not shipped or value in shipped:
        return None
    return fault(
        f"BNB_CUDA_VERSION={value} names a library that bitsandbytes does not have",
        evidence=(
            f"BNB_CUDA_VERSION={value}",
            f"in the package: {', '.join('cuda' + each for each in shipped)}",
        ),
        why="the variable overrides what would have been found by itself",
        fix="unset BNB_CUDA_VERSION",
        verify="`python -m bitsandbytes` ends with SUCCESS",
    )
