"""`trainbox logs`: what the training process wrote to its standard error."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cli import main


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAINBOX_RUNS", str(tmp_path))
    run = tmp_path / "demo-20261121-101500-9f3a"
    run.mkdir()
    (run / "plan.json").write_text("{}")
    return run / "log.txt"


def test_the_last_lines_alone(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """-n counts from the end; the log is the output, word for word."""
    log.write_text("one\ntwo\nthree\n")
    assert main(["logs", "-n", "2"]) == 0
    assert capsys.readouterr().out == "two\nthree\n"


@pytest.mark.parametrize("is_there", [False, True])
def test_an_empty_log_is_told_from_no_answer(
    is_there: bool, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that went well writes nothing into its log; silence would look like a fault."""
    if is_there:
        log.touch()
    assert main(["logs"]) == 0
    said = capsys.readouterr()
    assert not said.out and "the log is empty" in said.err
