"""Start the groups of steps one after another and turn what they print into verdicts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from env_check.facts import Facts, StepResult
from env_check.inference import has_gpu
from env_check.privacy import public_text
from env_check.system import Output, System

MARK = "env-check-step "
OUTPUT_LINES = 40

# Group of child.py → its steps, and the packages without which it is skipped.
GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "torch": (("import-torch", "see-gpu", "matmul"), ("torch",)),
    "four-bit": (("four-bit-layer",), ("torch", "bitsandbytes")),
    "triton": (("triton",), ("torch",)),
    "proof": (
        ("load-4bit", "inference", "adapter", "training-step"),
        ("torch", "transformers", "peft", "accelerate", "bitsandbytes"),
    ),
}
STEPS = tuple(step for steps, _ in GROUPS.values() for step in steps)
# An import of the training stack alone has taken 60 s on a busy machine.
TIME_LIMIT_SECONDS = 300.0


def try_stack(
    system: System, facts: Facts, say: Callable[[str], None], limit: float = TIME_LIMIT_SECONDS
) -> tuple[StepResult, ...]:
    """Return the verdict of every step; after a failed import of torch nothing else is tried."""
    results: list[StepResult] = []
    for group, (steps, needed) in GROUPS.items():
        missing = [name for name in needed if name not in facts.python.packages]
        if missing:
            results += _skipped(steps, f"{missing[0]} is not installed")
        elif any(each.name == "import-torch" and each.status == "fail" for each in results):
            results += _skipped(steps, "torch cannot be imported")
        else:
            say(f"trying {', '.join(steps)} …")
            results += try_group(system, group, has_gpu(facts), limit)
    return tuple(results)


def try_group(system: System, group: str, on_gpu: bool, limit: float) -> list[StepResult]:
    """Run one child and return its steps; one it did not come to is skipped."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child.py")
    command = [system.python().executable, script, group, "gpu" if on_gpu else "cpu"]
    done = system.run(command, timeout_seconds=limit)
    lines = [
        json.loads(line[len(MARK) :]) for line in done.stdout.splitlines() if line.startswith(MARK)
    ]
    return [_result(step, lines, done, system.home()) for step in GROUPS[group][0]]


def _skipped(steps: tuple[str, ...], reason: str) -> list[StepResult]:
    return [StepResult(step, "skipped", 0.0, reason) for step in steps]


def _result(step: str, lines: list[dict[str, Any]], done: Output, home: str) -> StepResult:
    end = next((line for line in lines if line.get("end") == step), None)
    output = "\n".join(public_text(done.stderr, home).splitlines()[-OUTPUT_LINES:])
    if end is not None:
        failed = end["status"] == "fail"
        return StepResult(
            step, end["status"], float(end["seconds"]), end["detail"], output if failed else ""
        )
    if any(line.get("begin") == step for line in lines) or not lines:
        return StepResult(step, "fail", 0.0, _how_it_ended(done), output)
    return StepResult(step, "skipped", 0.0, "the step before it failed")


def _how_it_ended(done: Output) -> str:
    """Return in words how a child ended that came to no verdict."""
    if done.exit_code is None:
        return done.problem
    if done.exit_code < 0:
        return f"killed by signal {-done.exit_code}" + (
            " (most likely out of memory)" if done.exit_code == -9 else ""
        )
    return f"ended with exit code {done.exit_code}"
