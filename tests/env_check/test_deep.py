"""`--deep`: a verdict for every step, whatever becomes of the child."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from env_check.collect import collect
from env_check.deep.run import GROUPS, MARK, STEPS, try_group, try_stack
from env_check.facts import Facts
from env_check.system import LocalSystem, Output
from tests.env_check.recorded import RecordedSystem, load_host


def line(**values: Any) -> str:
    return MARK + json.dumps(values) + "\n"


class Scripted(RecordedSystem):
    """A machine whose children end as told."""

    def __init__(self, output: Output) -> None:
        super().__init__(load_host("cpu-only"))
        self.output = output
        self.groups: list[str] = []

    def run(
        self, command: Sequence[str], *, timeout_seconds: float = 5.0, given: bytes = b""
    ) -> Output:
        self.groups.append(command[2])
        return self.output


BEGUN = line(begin="import-torch")
ENDED = line(end="import-torch", status="ok", detail="torch 2.13", seconds=0.8)


@pytest.mark.parametrize(
    ("output", "detail"),
    [
        (Output(-11, BEGUN), "killed by signal 11"),
        (Output(-9, BEGUN), "killed by signal 9 (most likely out of memory)"),
        (Output(None, BEGUN, problem="no answer within 300 s"), "no answer within 300 s"),
        (Output(1, ""), "ended with exit code 1"),
    ],
)
def test_a_child_that_ends_badly_fails_the_step_it_was_in(output: Output, detail: str) -> None:
    """A crash, a kill or a hang is the verdict of the step that had begun."""
    first, *rest = try_group(Scripted(output), "torch", False, 300.0)
    assert (first.status, first.detail) == ("fail", detail)
    if output.stdout:
        assert {each.status for each in rest} == {"skipped"}


def test_a_crash_in_the_second_step_leaves_the_first_ok() -> None:
    """Each step has a verdict of its own."""
    output = Output(-11, BEGUN + ENDED + line(begin="see-gpu"))
    results = try_group(Scripted(output), "torch", True, 300.0)
    assert [each.status for each in results] == ["ok", "fail", "skipped"]


def test_what_a_failed_step_printed_is_kept_without_names() -> None:
    """The end of the output is evidence; home folders and tokens are masked."""
    failed = line(end="import-torch", status="fail", detail="", seconds=0.1)
    output = Output(1, BEGUN + failed, stderr="File /home/someone/x.py\nhf_abcdefghijkl\nBad")
    first = try_group(Scripted(output), "torch", False, 300.0)[0]
    assert first.output.endswith("Bad")
    assert "someone" not in first.output and "abcdefgh" not in first.output


def test_after_a_failed_import_of_torch_nothing_else_is_started() -> None:
    """One broken torch costs one child, not four."""
    system = Scripted(Output(-11, BEGUN))
    results = try_stack(system, collect(RecordedSystem(load_host("cpu-only"))), print)
    assert system.groups == ["torch"]
    assert [each.name for each in results] == list(STEPS)


def test_without_the_packages_nothing_is_started() -> None:
    """Steps whose packages are absent are skipped, and say which."""
    system = Scripted(Output(0))
    results = try_stack(system, Facts(), print)
    assert system.groups == []
    assert {each.detail for each in results} == {"torch is not installed"}


@pytest.mark.slow
def test_the_whole_stack_of_this_environment_works() -> None:
    """Every step ends ok here, or is skipped for want of a GPU."""
    system = LocalSystem()
    facts = collect(system)
    needed = {name for _, names in GROUPS.values() for name in names}
    if not needed <= set(facts.python.packages):
        pytest.skip("needs the training stack")
    results = try_stack(system, facts, print)
    wrong = [each for each in results if each.status not in ("ok", "skipped")]
    assert wrong == []
    assert {"matmul", "four-bit-layer", "training-step"} <= {
        each.name for each in results if each.status == "ok"
    }
