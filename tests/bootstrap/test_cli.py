"""The commands behind `make setup`: what a user reads when the disk refuses."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from bootstrap import cli
from bootstrap.progress import Progress


@pytest.mark.parametrize(
    ("number", "id"),
    [
        (errno.EROFS, "setup-not-writable"),
        (errno.EACCES, "setup-not-writable"),
        (errno.ENOSPC, "setup-disk-full"),
    ],
)
def test_a_disk_that_refuses_is_an_error_with_a_fix(
    number: int, id: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody else's clone, or one on a disk without room: no traceback, and the file is named."""

    def set_up(
        root: Path, *, with_dev: bool, environ: Mapping[str, str], progress: Progress
    ) -> None:
        raise OSError(number, os.strerror(number), str(root / ".venv.lock"))

    monkeypatch.setattr(cli, "set_up", set_up)
    monkeypatch.setattr(sys, "argv", ["bootstrap", "setup"])
    assert cli.main() == 1
    said = capsys.readouterr().err
    assert f"error[{id}]" in said and ".venv.lock" in said and "fix:" in said


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no user can mend is not dressed up as something else."""

    def set_up(root: Path, **_: object) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(cli, "set_up", set_up)
    monkeypatch.setattr(sys, "argv", ["bootstrap", "setup"])
    with pytest.raises(OSError, match="Bad file descriptor"):
        cli.main()
