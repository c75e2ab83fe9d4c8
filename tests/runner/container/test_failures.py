"""What builds print when they fail, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.container.failures import explain


@pytest.mark.parametrize(
    ("output", "id"),
    [
        ("#5 1.0 ERROR: [Errno 28] No space left on device", "image-disk-full"),
        ("#9 3.1 ERROR: SSLError(SSLCertVerificationError", "image-certificate"),
        (
            "#2 ERROR: failed to do request: Head: dial tcp: i/o timeout\n------\n"
            " > [internal] load metadata for docker.io/nvidia/cuda:13.0.3-base-ubuntu24.04:\n",
            "image-no-base",
        ),
        ("#9 2.2 ERROR: No matching distribution found for torch===2.13.0", "image-no-package"),
        ("#9 9.9 Max retries exceeded with url: /simple/torch", "image-no-index"),
        ("Cannot connect to the Docker daemon at unix:///x. Is the daemon running?",
         "docker-no-engine"),
        ("permission denied while trying to connect to the Docker daemon socket",
         "docker-permission"),
        ("#12 0.3 prove: torch 2.12 is installed, the lock says 2.13", "image-build-failed"),
    ],
)  # fmt: skip
def test_a_failed_build_says_why(output: str, id: str) -> None:
    """Each cause has its error; an unknown one shows the end of the build's output."""
    error = explain(output, Path("build.log"))
    assert error.id == id
    if id == "image-build-failed":
        assert "torch 2.12 is installed" in error.what
