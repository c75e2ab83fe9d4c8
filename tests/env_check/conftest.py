"""Fixtures of the live check."""

from __future__ import annotations

import shutil
import subprocess

import pytest


@pytest.fixture
def image_name() -> str:
    """A local image with a python3, without asking any registry."""
    if shutil.which("docker") is None:
        pytest.fail("needs a Docker engine")
    command = ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}"]
    names = subprocess.run(command, capture_output=True, text=True).stdout.split()
    ours = [name for name in names if name.startswith("trainbox") and "<none>" not in name]
    if not ours:
        pytest.fail("needs a local image of trainbox or its base")
    return ours[0]
