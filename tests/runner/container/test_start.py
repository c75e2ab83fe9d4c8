"""What an engine says against a container becomes an error with its fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.container.start import start_error
from runner.record.layout import RunDir


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ('could not select device driver "nvidia" with capabilities: [[gpu]]', "docker-no-gpu"),
        ("CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=7", "docker-no-gpu"),
        ("invalid mount config: bind source path does not exist: /x", "docker-folder-not-seen"),
        ("Mounts denied: The path /x is not shared from the host", "docker-folder-not-seen"),
        ("OCI runtime create failed: no space left", "docker-start-failed"),
    ],
)
def test_a_container_that_does_not_start_says_why(text: str, id: str, tmp_path: Path) -> None:
    """Each refusal has its id, and the engine's own words are in it."""
    error = start_error(text, RunDir(tmp_path))
    assert error.id == id and text in error.what
