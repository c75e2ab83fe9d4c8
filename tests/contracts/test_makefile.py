"""The Makefile: every target listed, real, and passing on what it is given."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Makefile").read_text()
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}


def make(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env={**ENVIRON, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def phony() -> set[str]:
    found = re.search(r"(?m)^\.PHONY: (.*)$", TEXT)
    assert found
    return set(found[1].split())


def test_help_lists_every_target() -> None:
    """`make` and `make help` show each target a person may call, with a word on it."""
    listed = {line.split()[0] for line in make().stdout.splitlines()}
    assert listed == phony() - {"setup-dev"}
    assert make("help").stdout == make().stdout


def test_every_target_can_be_made() -> None:
    """No target is listed without a recipe or a prerequisite."""
    for target in phony():
        assert make("-n", target).returncode == 0, target


@pytest.mark.parametrize("target", ["check-env", "down", "plan", "train", "up"])
def test_commands_set_up_first(target: str) -> None:
    """A command of ours never meets a machine without its environment."""
    assert "-m bootstrap setup\n" in make("-n", target).stdout


@pytest.mark.parametrize("target", ["format", "lint", "types", "test", "lock", "lock-check"])
def test_tools_set_up_the_dev_layer_first(target: str) -> None:
    """A tool never meets an environment without the dev layer."""
    assert "-m bootstrap setup --dev\n" in make("-n", target).stdout


def test_job_and_arguments_are_passed_on() -> None:
    """JOB and ARGS reach the command line as they were written."""
    shown = make("-n", "train", "JOB=jobs/dpo.yaml", "ARGS=--set train.max_steps=2").stdout
    assert shown.endswith("trainbox train jobs/dpo.yaml --set train.max_steps=2\n")


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        ("", "-m pytest --numprocesses logical --maxprocesses 4 --dist loadfile"),
        ("journal", '-m pytest -k "journal"'),
        ("tests/contracts", "-m pytest tests/contracts"),
        (
            "tests/contracts/test_locks.py::test_x",
            "-m pytest tests/contracts/test_locks.py::test_x",
        ),
    ],
)
def test_tests_are_chosen_by_file_or_pattern(tests: str, expected: str) -> None:
    """TESTS= takes a path, a single test or a pattern; without it all run, on every core."""
    assert make("-n", "test", f"TESTS={tests}").stdout.splitlines()[-1].endswith(expected)


def test_commands_of_the_makefile_exist() -> None:
    """Every `trainbox` command that a target calls is one that trainbox has."""
    called = set(re.findall(r"/trainbox ([a-z-]+)", TEXT))
    shown = subprocess.run(
        [sys.executable, "-m", "runner", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert {name for name in called if not re.search(rf"\b{name}\b", shown)} == set()


def test_failure_is_passed_on() -> None:
    """A set-up that is refused makes `make` fail, with the reason and without a traceback."""
    done = make("setup", TRAINBOX_LOCK="gpu")
    assert done.returncode == 2
    assert "error[setup-unknown-lock]" in done.stderr and "Traceback" not in done.stderr


def test_ci_runs_the_targets_of_check() -> None:
    """CI makes what `make check` makes."""
    steps = re.findall(r"(?m)^(?:step|tests) make ([a-z-]+)$", (ROOT / ".ci/run").read_text())
    checked = re.search(r"(?m)^check: ([a-z ]+?) +##", TEXT)
    assert checked and set(checked[1].split()) <= set(steps)
