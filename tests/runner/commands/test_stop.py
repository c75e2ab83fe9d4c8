"""`trainbox stop`: whose run it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from runner.commands.stop import interrupt
from runner.errors import BackendError
from runner.record.layout import RunDir


def test_a_run_of_another_user_is_told_from_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system refuses the signal: whose run it is and what to do is said, and nothing waits."""

    def refuse(process_id: int, number: int) -> None:
        raise PermissionError(1, os.strerror(1))

    monkeypatch.setattr(os, "kill", refuse)
    with pytest.raises(BackendError, match="run-of-another-user"):
        interrupt(RunDir(tmp_path), 1)


def test_a_supervisor_that_has_ended_is_no_fault(tmp_path: Path) -> None:
    """Between the look at the lock and the signal it may have come to its end."""
    with subprocess.Popen(["true"]) as child:
        child.wait()
    interrupt(RunDir(tmp_path), child.pid)
