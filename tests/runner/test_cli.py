"""The command line: help for every command, errors in one shape, cheap to start."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.cli import COMMANDS, disk_fault, main


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
        (["plan", "jobs/demo.yaml", "--ofline"], "write `--offline`"),
        (["--json", "plan", "jobs/demo.yaml"], "write it after `trainbox plan`"),
        (["train", "jobs/demo.yaml", "jobs/dpo.yaml"], "`jobs/dpo.yaml` is one argument too many"),
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


@pytest.mark.parametrize("arguments", [["show"], ["logs"], ["stop"], ["resume"], ["sync"]])
def test_a_newcomer_without_runs_is_told_how_to_start_one(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No run yet is no mystery about a run called `latest`."""
    monkeypatch.setenv("TRAINBOX_RUNS", str(tmp_path))
    assert main(arguments) == 2
    text = capsys.readouterr().err
    assert "there is no run yet" in text and "trainbox train jobs/demo.yaml" in text


@pytest.mark.parametrize("below", ["", "below"])
@pytest.mark.parametrize(
    "arguments", [["runs"], ["show"], ["up"], ["sync", "--all"], ["train", "jobs/none.yaml"]]
)
def test_a_folder_of_runs_that_is_a_file_is_refused_first(
    arguments: list[str],
    below: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before any work is done for a run, and not as if there were no runs."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRAINBOX_RUNS", str(tmp_path / "file" / below))
    assert main(arguments) == 2
    text = capsys.readouterr().err
    assert "error[runs-folder]" in text and "TRAINBOX_RUNS" in text


@pytest.mark.parametrize("folder", ["/proc/cache", "{file}/cache"])
@pytest.mark.parametrize("command", ["plan", "train", "data", "fetch"])
def test_a_cache_that_cannot_be_is_refused_first(
    command: str,
    folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Below the kernel's own folders or a file there is no cache; what to set is named."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRAINBOX_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("TRAINBOX_CACHE", folder.format(file=tmp_path / "file"))
    assert main([command, "jobs/demo.yaml"]) == 1
    text = capsys.readouterr().err
    assert "error[cache-not-writable]" in text and "TRAINBOX_CACHE" in text


def test_the_kernels_own_folders_hold_no_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """/proc takes the right to write into it for granted, and no file."""
    monkeypatch.setenv("TRAINBOX_RUNS", "/proc/runs")
    assert main(["train", "jobs/demo.yaml"]) == 2
    assert "error[runs-folder]" in capsys.readouterr().err


def test_options_of_env_check_are_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    """`trainbox check` takes what `env-check` takes, as it stands."""
    with pytest.raises(SystemExit):
        main(["check", "--no-such-option"])
    assert "env-check" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, "disk-full"), (errno.EACCES, "disk-no-access"), (errno.ENOENT, None)],
)
def test_what_a_disk_refuses_is_a_fault(number: int, expected: str | None) -> None:
    """A full disk is the user's to mend; a file that our code missed is a bug with a traceback."""
    fault = disk_fault(OSError(number, "words", "runs/x/plan.json"))
    assert (fault.id if fault else None) == expected


def test_a_working_directory_that_is_gone_is_named(tmp_path: Path) -> None:
    """Another terminal removed the clone: no traceback."""
    code = (
        "import os, sys; os.mkdir(sys.argv[1]); os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]); "
        "from runner.cli import main; sys.exit(main(['runs']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "gone")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "error[cli-no-folder]" in done.stderr) == (2, True)


def test_errors_are_json_where_a_script_asks(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With --json a refusal is data on stdout too."""
    assert main(["plan", str(tmp_path / "none.yaml"), "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema_version"] == 1 and answer["error"]


def test_a_closed_pipe_keeps_the_code_of_an_error(tmp_path: Path) -> None:
    """`trainbox plan JOB --json 2>&1 | head -0` ends with 2, as without the pipe."""
    code = f"{sys.executable} -m runner plan {tmp_path}/none.yaml --json 2>&1 | sleep 0"
    done = subprocess.run(
        ["bash", "-c", f"{code}; exit ${{PIPESTATUS[0]}}"], capture_output=True, check=False
    )
    assert done.returncode == 2


def test_a_closed_pipe_is_no_error() -> None:
    """`trainbox schema | head -1` ends without a traceback."""
    code = f"{sys.executable} -m runner schema | head -1"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["plan.json", "journal.jsonl"])
def test_a_damaged_run_is_not_resumed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file that cannot be read is named; nothing is started."""
    (tmp_path / "demo-1").mkdir()
    (tmp_path / "demo-1" / "plan.json").write_text("{}")
    (tmp_path / "demo-1" / name).write_text("{\n")
    monkeypatch.setenv("TRAINBOX_RUNS", str(tmp_path))
    assert main(["runs"]) == 0
    assert main(["resume"]) == 2
    text = capsys.readouterr().err
    assert "error[run-damaged]" in text and f"demo-1/{name}" in text
