"""A failed run is explained from its log where the environment is to blame, and only there."""

from __future__ import annotations

from pathlib import Path

from runner.diagnose import diagnose, render_diagnosis
from runner.record.layout import RunDir


def test_a_fault_of_the_environment_is_named_with_its_fix(tmp_path: Path) -> None:
    """A log that ends with a known message of the stack gets a cause and a command."""
    RunDir(tmp_path).log.write_text(
        "loading\nRuntimeError: The NVIDIA driver on your system is too old (found version 11040)."
        " Please update your GPU driver\n"
    )
    diagnosis = diagnose(RunDir(tmp_path))
    assert diagnosis is not None and diagnosis.cause_id == "driver_too_old_for_cuda"
    text = render_diagnosis(diagnosis)
    assert "likely cause" in text and "fix" in text


def test_a_fault_of_a_program_is_not_blamed_on_the_environment(tmp_path: Path) -> None:
    """An ordinary exception, an empty log and an absent one get no diagnosis."""
    run = RunDir(tmp_path)
    assert diagnose(run) is None
    run.log.write_text("")
    assert diagnose(run) is None
    run.log.write_text("Traceback (most recent call last):\nKeyError: 'input_ids'\n")
    assert diagnose(run) is None
