"""What pip says, in plain words. The texts are what pip 23 to 25 printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.pip import explain

REFUSED = (
    "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after"
    " connection broken by 'NewConnectionError('<HTTPConnection object>: Failed to establish a new"
    " connection: [Errno 111] Connection refused')': /simple/torch/\n"
)
NOT_FOUND = (
    "ERROR: Could not find a version that satisfies the requirement torch==2.13.0"
    " (from versions: {})\nERROR: No matching distribution found for torch==2.13.0\n"
)
OUTPUTS = {
    "setup-no-index": REFUSED + NOT_FOUND.format("none"),
    "setup-no-package": REFUSED.replace("total=0", "total=4") + NOT_FOUND.format("2.12.0"),
    "setup-hash-mismatch": (
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have"
        " updated the package versions, please update the hashes.\n"
        "    torch==2.13.0+cpu from file:///wheels/torch.whl:\n        Expected sha256 67\n"
    ),
    "setup-disk-full": (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
    ),
    "setup-certificate": (
        "WARNING: Retrying (Retry(total=4)) after connection broken by 'SSLError("
        "SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] verify failed'))'\n"
    ),
    "setup-not-writable": (
        "ERROR: Could not install packages due to an OSError:"
        " [Errno 13] Permission denied: '/x/.venv/lib'\n"
    ),
    "setup-pip-failed": "ERROR: Exception:\nTraceback …\nERROR: something new\n",
}


@pytest.mark.parametrize("id", OUTPUTS)
def test_cause_is_named(id: str) -> None:
    """Each cause that a user can mend has its own error, the likeliest cause first."""
    error = explain(OUTPUTS[id], Path("setup.log"))
    assert error.id == id
    assert "{" not in error.what and error.fix and error.where == "setup.log"


def test_package_is_named() -> None:
    """The error says which package the index lacks."""
    assert "torch==2.13.0 for this" in explain(OUTPUTS["setup-no-package"], Path("x")).what


def test_unknown_failure_keeps_pips_last_word() -> None:
    """What no row explains is passed on, not hidden."""
    assert "something new" in explain(OUTPUTS["setup-pip-failed"], Path("x")).what


def test_pip_killed_without_a_word() -> None:
    """A pip that was killed is said to have been ended from outside."""
    assert "ended from outside" in explain("", Path("x")).what
