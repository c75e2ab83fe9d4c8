"""EXT: Triton, compilers and attention extensions beside torch."""

from __future__ import annotations

from typing import Optional

from env_check import remedies, support
from env_check.facts import Facts
from env_check.findings import Layer
from env_check.inference import capabilities, card_names, torch_cuda, torch_version
from env_check.rules.rule import Verdict, fault, rule, warning
from env_check.specifiers import meets, parse


@rule(
    "EXT801",
    Layer.EXTENSIONS,
    source="https://github.com/triton-lang/triton/issues/2153",
    cause_id="triton_no_compiler",
)
def no_compiler(facts: Facts) -> Optional[Verdict]:
    """torch for CUDA and no C compiler: Triton cannot build its launcher."""
    if not torch_cuda(facts) or facts.python.compiler:
        return None
    return warning(
        "there is no C compiler for Triton",
        evidence="cc, gcc, clang: not found",
        why="Triton compiles a small launcher at first use: `Failed to find C compiler`",
        fix=remedies.compiler(facts),
        verify="`cc --version` prints one",
    )


@rule(
    "EXT802",
    Layer.EXTENSIONS,
    source="https://github.com/triton-lang/triton/issues/2153",
    cause_id="triton_no_compiler",
)
def no_headers(facts: Facts) -> Optional[Verdict]:
    """torch for CUDA and a Python without its C headers."""
    if not torch_cuda(facts) or facts.python.has_headers:
        return None
    line = ".".join(facts.python.version.split(".")[:2])
    return warning(
        "Python.h is missing for Triton",
        evidence=f"Python {facts.python.version}: no Python.h in its include folder",
        why="Triton compiles a small launcher at first use: `fatal error: Python.h`",
        fix=remedies.install(
            facts,
            apt=f"python{line}-dev",
            dnf="python3-devel",
            zypper="python3-devel",
            pacman="python",
            apk="python3-dev",
            other="the headers of Python",
        ),
        verify="`python3-config --includes` names a folder with Python.h",
    )


@rule("EXT803", Layer.EXTENSIONS, source="Requires-Dist of torch", cause_id="triton_torch_mismatch")
def triton(facts: Facts) -> Optional[Verdict]:
    """A triton of another line than this torch pins."""
    installed, wanted = facts.python.packages.get("triton"), support.triton_of(torch_version(facts))
    if not installed or not wanted or not torch_cuda(facts):
        return None
    if support.minor(installed) == support.minor(wanted.replace("x", "0")):
        return None
    return fault(
        f"triton {installed} does not belong to torch {torch_version(facts)}",
        evidence=(f"triton {installed}", f"torch {torch_version(facts)} pins triton {wanted}"),
        why="compiled kernels and torch's own use of Triton fail at import or at first call",
        fix=f"pip install 'triton=={wanted.replace('x', '*')}'",
        verify="`pip check` says nothing of triton",
    )


@rule(
    "EXT804",
    Layer.EXTENSIONS,
    source="Requires-Dist of xformers",
    cause_id="xformers_torch_mismatch",
)
def xformers(facts: Facts) -> Optional[Verdict]:
    """An xformers built for another torch."""
    installed = facts.python.packages.get("xformers")
    wanted = support.torch_of_xformers(installed.partition("+")[0]) if installed else None
    need = parse(f"torch{wanted}") if wanted else None
    if need is None or not torch_version(facts) or meets(torch_version(facts), need.specifiers):
        return None
    return fault(
        f"xformers {installed} is built for torch{wanted}",
        evidence=(f"xformers {installed}", f"torch {facts.python.packages['torch']}"),
        why="its kernels do not load: `xFormers can't load C++/CUDA extensions`",
        fix="pip uninstall -y xformers   (nothing here needs it)",
        verify="`pip check` says nothing of xformers",
    )


@rule(
    "EXT805",
    Layer.EXTENSIONS,
    source="README of flash-attention: Ampere or newer",
    cause_id="flash_attn_unsupported_gpu",
)
def flash_attention(facts: Facts) -> Optional[Verdict]:
    """flash-attn installed beside a card before Ampere."""
    installed = facts.python.packages.get("flash-attn")
    low = [each for each in capabilities(facts) if support.minor(each) < (8, 0)]
    if not installed or not low:
        return None
    return warning(
        "flash-attn does not support this card",
        evidence=(f"flash-attn {installed}", f"{card_names(facts)}: compute capability {low[0]}"),
        why="attn_implementation: flash_attention_2 fails at the first step",
        fix="keep model.attn_implementation: auto (sdpa)",
        verify="`trainbox plan JOB` shows attn_implementation sdpa",
    )
