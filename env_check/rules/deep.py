"""DEEP: what was tried in child processes (`--deep`), one rule for each step."""

from __future__ import annotations

from typing import Optional

from env_check.facts import Facts, StepResult
from env_check.findings import Layer
from env_check.rules.rule import Rule, Verdict, fault, rule, unseen

BELOW = tuple(layer for layer in Layer if layer < Layer.STORAGE)
TRIED = "the step itself, run in a child process"
PACKAGES = {
    "import-torch": "torch",
    "four-bit-layer": "bitsandbytes",
    "triton": "triton",
    "load-4bit": "transformers bitsandbytes",
    "inference": "transformers",
    "adapter": "peft",
    "training-step": "transformers peft",
}


def _failed(facts: Facts, name: str) -> Optional[StepResult]:
    return next((each for each in facts.deep if each.name == name and each.status == "fail"), None)


def _step(id: str, name: str, what: str, why: str) -> Rule:
    """Return the rule of one step."""

    def check(facts: Facts) -> Optional[Verdict]:
        step = _failed(facts, name)
        if step is None:
            return None
        from env_check.explain import explain_text  # its tables are not needed by a plain check

        causes = explain_text(step.output)
        tail = tuple(line for line in step.output.splitlines() if line.strip())[-3:]
        package = PACKAGES.get(name, "torch")
        default = ("make setup   (installs the locked versions)", f"or: pip install -U {package}")
        return fault(
            what,
            evidence=tuple(each for each in (step.detail, *tail) if each),
            why=f"{why}; {causes[0].why}" if causes else why,
            fix=causes[0].fix if causes else default,
            verify=f"`env-check --deep` says ok for {name}",
            cause_id=causes[0].cause_id if causes else "",
        )

    check.__doc__ = f"The step {name} of --deep fails: {what}."
    return rule(id, Layer.TRIED, source=TRIED, explained_by=BELOW)(check)


import_torch = _step(
    "DEEP971", "import-torch", "torch cannot be imported", "nothing of the stack starts without it"
)
see_gpu = _step(
    "DEEP972", "see-gpu", "torch cannot use the GPU", "training would refuse to start on it"
)
matmul = _step(
    "DEEP973", "matmul", "a matrix product fails", "the build, the card or the driver do not fit"
)
four_bit = _step(
    "DEEP974", "four-bit-layer", "a 4-bit layer fails", "method qlora needs bitsandbytes"
)
triton = _step(
    "DEEP975", "triton", "a compiled kernel fails", "fused kernels and torch.compile need Triton"
)
load = _step(
    "DEEP976", "load-4bit", "a tiny model cannot be loaded in 4 bit", "every qlora job does this"
)
inference = _step(
    "DEEP977", "inference", "a tiny model does not answer", "every evaluation does this"
)
adapter = _step(
    "DEEP978", "adapter", "an adapter cannot be put on a tiny model", "every LoRA job does this"
)
training = _step(
    "DEEP979", "training-step", "a training step fails on a tiny model", "every job does this"
)


@rule("DEEP980", Layer.TRIED, source=TRIED, explained_by=BELOW)
def nothing_tried(facts: Facts) -> Optional[Verdict]:
    """--deep was asked for and a needed package is not installed, so steps were not tried."""
    missing = [step for step in facts.deep if step.detail.endswith("is not installed")]
    if not missing:
        return None
    return unseen(
        "not everything could be tried: " + missing[0].detail,
        evidence="not tried: " + ", ".join(step.name for step in missing),
        why="what was not tried is not known to work",
        fix="make setup   (the cpu or cu130 lock), or run env-check inside the image",
        verify="`env-check --deep` skips nothing for want of a package",
    )
