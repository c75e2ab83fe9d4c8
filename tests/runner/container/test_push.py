"""Following a push: what was sent, what was there, and what ended it."""

from __future__ import annotations

import pytest

from runner.container.image import VARIANTS
from runner.container.push import push_image, read_progress
from runner.errors import BackendError

LAYERS = ["sha256:" + 64 * "a", "sha256:" + 64 * "b", "sha256:" + 64 * "c"]
# As Docker 20.10 writes them: a layer is named by the beginning of its digest.
LINES = [
    {"status": "The push refers to repository [127.0.0.1:5000/team/trainbox]"},
    {"status": "Preparing", "progressDetail": {}, "id": 12 * "a"},
    {"status": "Layer already exists", "progressDetail": {}, "id": 12 * "a"},
    {"status": "Mounted from team/other", "progressDetail": {}, "id": 12 * "b"},
    {"status": "Pushing", "progressDetail": {"current": 512, "total": 1024}, "id": 12 * "c"},
    {"status": "Pushed", "progressDetail": {}, "id": 12 * "c"},
    {"status": "1: digest: sha256:… size: 3245"},
]


def test_layers_that_were_there_are_told_from_those_that_were_sent() -> None:
    """What a registry had, in this repository or another of it, was not sent."""
    assert read_progress(LINES, "a/b:1", LAYERS, print) == set(LAYERS[:2])


def test_an_error_in_between_ends_it() -> None:
    """The engine reports a failed push within its messages."""
    lines = [*LINES[:3], {"errorDetail": {}, "error": "denied: no access"}]
    with pytest.raises(BackendError, match="registry-no-login"):
        read_progress(lines, "a/b:1", LAYERS, print)


@pytest.mark.docker
def test_a_registry_that_does_not_answer_is_found_before_the_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Minutes of building for a name that was misspelt would be wasted."""
    monkeypatch.setattr("runner.container.push.ensure_image", lambda *_, **__: pytest.fail("built"))
    with pytest.raises(BackendError, match="registry-no-answer"):
        push_image(VARIANTS["cpu"], "127.0.0.1:9/name", say=print, allow_dirty=True)
