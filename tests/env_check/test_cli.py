"""The command: what it prints, what it returns, on which Python it runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from env_check.cli import main


def test_a_machine_is_checked_and_the_report_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`env-check --json` prints one document whose exit code is the one returned."""
    code = main(["--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert document["exit_code"] == code


def test_collected_facts_give_the_same_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `collect` writes, `--facts` reads: the findings are those of the machine."""
    main(["collect"])
    file = tmp_path / "facts.json"
    file.write_text(capsys.readouterr().out)
    code = main(["--facts", str(file), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["facts"] == json.loads(file.read_text())
    assert document["exit_code"] == code


def test_a_wrong_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown option ends with 2 and an error that has a fix."""
    with pytest.raises(SystemExit) as ended:
        main(["--jsn"])
    assert ended.value.code == 2
    assert "fix:" in capsys.readouterr().err


def test_a_file_that_holds_no_facts_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Facts of another schema are refused with 2; nothing is guessed from them."""
    file = tmp_path / "facts.json"
    file.write_text('{"schema_version": 99}')
    assert main(["--facts", str(file)]) == 2
    assert "schema_version is 99" in capsys.readouterr().err


def test_requirements_of_a_job_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job that wants more GPUs than there are fails the check."""
    file = tmp_path / "wishes.json"
    file.write_text('{"schema_version": 1, "num_gpus": 64}')
    assert main(["--requirements", str(file)]) == 1
    assert "JOB951" in capsys.readouterr().out


def test_another_machine_is_not_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--deep with --facts is refused: it would try this machine and judge that one."""
    assert main(["--facts", str(tmp_path / "none.json"), "--deep"]) == 2
    assert "this machine" in capsys.readouterr().err


def test_choose_answers_for_collected_facts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`env-check choose --facts` names the variant of another machine; 3 = too little is known."""
    file = tmp_path / "facts.json"
    file.write_text('{"schema_version": 1, "host": {"machine": "x86_64"}}')
    assert main(["choose", "--facts", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["variant"] == "cpu"
    card = {"vendor": "nvidia", "device_id": "2684", "bound_to": ""}
    facts = {"schema_version": 1, "host": {"machine": "x86_64"}, "gpu": {"cards": [card]}}
    file.write_text(json.dumps(facts))
    assert main(["choose", "--facts", str(file)]) == 3


@pytest.mark.parametrize(
    ("system", "machine", "words"),
    [
        ("Darwin", "aarch64", "macOS has no NVIDIA GPU"),
        ("Windows", "x86_64", "WSL 2"),
        ("FreeBSD", "x86_64", "FreeBSD itself is not supported"),
    ],
)
def test_another_system_is_told_what_to_do_instead(
    system: str, machine: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not here, this instead: one fault, whatever else is missing on such a machine."""
    host = {"system": system, "machine": machine}
    python = {"version": "3.9.6", "has_headers": False, "has_ensurepip": True}
    file = tmp_path / "facts.json"
    file.write_text(json.dumps({"schema_version": 1, "host": host, "python": python}))
    assert main(["--facts", str(file), "--json"]) == 1
    finding, *_ = json.loads(capsys.readouterr().out)["findings"]
    assert finding["id"] == "HOST101" and words in finding["what"]


def test_an_image_is_not_looked_into_for_another_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--image starts a container here, and --facts is about somewhere else."""
    assert main(["--facts", str(tmp_path / "none.json"), "--image", "some:1"]) == 2
    assert "--image" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "two words", "-"])
def test_what_is_no_name_of_an_image_is_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable of the shell that was empty does not lead to a verdict on this machine."""
    assert main([f"--image={name}"]) == 2
    assert "fix:" in capsys.readouterr().err


@pytest.mark.parametrize(("word", "fix"), [("explian", "env-check explain"), ("check", "alone")])
def test_a_command_that_is_none_names_the_nearest(
    word: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip of the fingers ends with 2 and what was meant."""
    assert main([word]) == 2
    assert fix in capsys.readouterr().err


def test_an_absent_log_is_refused_with_a_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`explain` of a file that is not there: what, why and fix, and 2."""
    assert main(["explain", str(tmp_path / "none.log")]) == 2
    said = capsys.readouterr().err
    assert "why:" in said and "fix:" in said
