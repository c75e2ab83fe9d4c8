"""`explain` on the command line: text, JSON and exit codes."""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from env_check.explain import add_arguments, run

ROOT = Path(__file__).parents[3]
FAULT = "RuntimeError: Failed to find C compiler. Please specify via CC environment variable.\n"


def explain(path: Path, *flags: str) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([str(path), *flags]))


def test_json_has_the_documented_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Best first, each with cause, layer, family, confidence, evidence, why, fix and verify."""
    log = tmp_path / "log.txt"
    log.write_text(FAULT, encoding="utf-8")
    assert explain(log, "--json") == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema_version"] == 1
    assert list(shown["diagnoses"][0]) == [
        "cause_id", "layer", "family", "confidence", "evidence", "why", "fix", "verify",
    ]  # fmt: skip
    assert shown["diagnoses"][0]["cause_id"] == "triton_no_compiler"


def test_healthy_text_gives_an_empty_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing found is an empty list and exit code 0."""
    log = tmp_path / "log.txt"
    log.write_text("epoch 1 loss 0.2\n", encoding="utf-8")
    assert explain(log, "--json") == 0
    assert json.loads(capsys.readouterr().out)["diagnoses"] == []


def test_nothing_found_says_what_was_not_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A text without a fault names the facts it does not hold."""
    log = tmp_path / "log.txt"
    log.write_text("PyTorch version: 2.13.0+cu130\n", encoding="utf-8")
    assert explain(log) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("no environment fault found in this text, and this could not be seen:")
    assert "nvidia-smi" in shown
    assert "collect_env" not in shown


def test_text_shows_cause_evidence_fix_and_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person reads what, why, the line, the command and how to verify."""
    log = tmp_path / "log.txt"
    log.write_text(FAULT, encoding="utf-8")
    assert explain(log) == 1
    shown = capsys.readouterr().out
    for part in ("1. triton_no_compiler", "why:", "line 1:", "fix:", "verify:"):
        assert part in shown


def test_a_file_that_is_missing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unreadable file is exit code 2 and one line on stderr."""
    assert explain(tmp_path / "missing.txt") == 2
    assert "explain-unreadable" in capsys.readouterr().err


def test_standard_input_is_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a file the text comes from a pipe."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FAULT.encode())))
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert run(parser.parse_args([])) == 1
    assert "triton_no_compiler" in capsys.readouterr().out


def test_explain_runs_on_an_older_python() -> None:
    """The package runs on Python 3.9 with nothing installed."""
    installed = sorted((Path.home() / ".pyenv" / "versions").glob("3.9.*/bin/python"))
    named = [str(path) for path in reversed(installed)] + [shutil.which("python3.9") or "python3.9"]
    older = next((python for python in named if _runs(python)), None)
    if older is None:
        pytest.skip("no Python 3.9 on this machine")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from env_check.explain import explain_text\n"
        "print(explain_text(sys.argv[1])[0].cause_id)"
    )
    done = subprocess.run(
        [older, "-I", "-c", code, FAULT],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "triton_no_compiler"


def _runs(python: str) -> bool:
    """Tell whether it starts: a shim of pyenv may name a version that is switched off."""
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
