"""PY: the interpreter and what its packages ask of each other."""

from __future__ import annotations

from typing import Optional

from env_check import remedies, support
from env_check.facts import Facts
from env_check.findings import Layer
from env_check.inference import torch_version
from env_check.rules.rule import Verdict, fault, rule, warning

CORE = ("torch", "transformers", "peft", "trl", "accelerate", "datasets", "tokenizers",
        "huggingface-hub", "bitsandbytes", "safetensors", "numpy")  # fmt: skip
PAIRED = ("torchvision", "torchaudio", "xformers")  # rules of their own say more


@rule("PY501", Layer.PYTHON, source="docs: set-up")
def too_old(facts: Facts) -> Optional[Verdict]:
    """An interpreter older than 3.10, on which trainbox itself does not run."""
    seen = support.version(facts.python.version)
    if not seen or seen >= (3, 10):
        return None
    return warning(
        f"Python {facts.python.version} is too old for trainbox",
        evidence=f"this interpreter: {facts.python.version}",
        why="env-check runs on 3.9; the trainbox command needs 3.10, training on the host 3.11",
        fix=(
            remedies.install(
                facts, apt="python3.11 python3.11-venv", dnf="python3.11", other="Python 3.11"
            ),
            "or, where there is none: https://docs.astral.sh/uv/, then uv python install 3.12",
            "make setup",
        ),
        verify="`python3.11 --version` or `python3.12 --version` prints it",
    )


@rule("PY502", Layer.PYTHON, source="Debian and Ubuntu packaging of venv")
def no_venv(facts: Facts) -> Optional[Verdict]:
    """Python without ensurepip: `make setup` could not make its environment."""
    python = facts.python
    if python.has_ensurepip or python.is_virtual or not python.version or facts.image:
        return None
    line = ".".join(python.version.split(".")[:2])
    return warning(
        "Python's venv module is not installed",
        evidence=f"Python {python.version} without ensurepip",
        why="`make setup` builds a virtual environment",
        fix=remedies.install(facts, apt=f"python{line}-venv", other="the venv module of Python"),
        verify="`python3 -m venv --help` prints its usage",
    )


@rule(
    "PY503",
    Layer.COMPANIONS,
    source="Requires-Dist of the installed packages",
    cause_id="hf_stack_version_conflict",
)
def conflict(facts: Facts) -> Optional[Verdict]:
    """Installed packages of the stack whose stated requirements are not met."""
    lines = tuple(line for line in facts.python.conflicts if line.split()[0] not in PAIRED)
    core = tuple(line for line in lines if line.split()[0] in CORE)
    if not lines:
        return None
    verdict = fault if core else warning
    return verdict(
        "installed packages do not fit each other",
        evidence=core or lines,
        why="they end with an ImportError or a missing name, often only in the middle of a run",
        fix=(
            "make setup   (installs the locked versions that fit together)",
            "or in an environment of your own: pip install -U " + " ".join(_names(core or lines)),
        ),
        verify="`pip check` reports nothing of these packages",
    )


def _names(lines: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(line.split()[0] for line in lines))


@rule(
    "PY504",
    Layer.COMPANIONS,
    source="https://github.com/pytorch/pytorch/issues/91516",
    cause_id="numpy_abi_mismatch",
)
def numpy_two(facts: Facts) -> Optional[Verdict]:
    """NumPy 2 beside a torch before 2.3, which was built for NumPy 1."""
    numpy = support.version(facts.python.packages.get("numpy", ""))
    torch = support.version(torch_version(facts))
    if not numpy or not torch or numpy < (2,) or torch >= (2, 3):
        return None
    return fault(
        "this torch was built for NumPy 1, installed is NumPy 2",
        evidence=(
            f"torch {facts.python.packages['torch']}",
            f"numpy {facts.python.packages['numpy']}",
        ),
        why="tensors cannot be turned into arrays: RuntimeError: Numpy is not available",
        fix="pip install 'numpy<2'",
        verify='`python -c "import torch; torch.ones(1).numpy()"` ends quietly',
    )
