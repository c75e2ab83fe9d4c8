"""The command line: help for every command, errors in one shape, cheap to start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runner.cli import COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`trainbox COMMAND --help` works for every command of the table."""
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "usage: trainbox " + command in capsys.readouterr().out


def test_no_command_prints_help_and_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """`trainbox` alone shows what there is, with examples, and exits 2."""
    assert main([]) == 2
    assert "trainbox train jobs/demo.yaml" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["trian", "x"], "write `trainbox train`"),
        (["train"], "cli-arguments"),
        (["plan", "jobs/demo.yaml", "--frobnicate"], "cli-arguments"),
        (["show", "no-such-run"], "run-not-found"),
    ],
)
def test_wrong_arguments_are_refused_in_our_shape(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong command line exits 2 with what and fix, and no traceback."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    text = capsys.readouterr().err
    assert code == 2
    assert expected in text and "fix:" in text and "Traceback" not in text


def test_errors_are_json_where_a_script_asks(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With --json a refusal is data on stdout too."""
    assert main(["plan", str(tmp_path / "none.yaml"), "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema_version"] == 1 and answer["error"]


def test_a_closed_pipe_is_no_error() -> None:
    """`trainbox schema | head -1` ends without a traceback."""
    code = f"{sys.executable} -m runner schema | head -1"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
