"""Tell whether an image can be had here, in a second and before anything is built.

Asks the `docker` command, on the standard library alone: `make setup` wants to know before any
package is installed.
"""

from __future__ import annotations

import subprocess

from runner.container.engine import engine_error, find_builder
from runner.container.image import SOURCE_ROOT, Variant, image_tag
from runner.errors import BackendError

ANSWER_SECONDS = 10.0
NO_ENGINE = ("cannot connect", "permission denied", "is the docker daemon running")


def why_no_image(variant: Variant) -> str | None:
    """Return why the image of a variant can be neither found nor built here, or None where it can.

    A build may still fail later, for want of a package or of disk.
    """
    try:
        docker = find_builder()
        tag = image_tag(variant, SOURCE_ROOT)
    except BackendError as error:
        return error.what
    for image in (tag, variant.base_image):
        refusal = _refusal([*docker, "image", "inspect", image])
        if refusal is None:
            return None
        if any(words in refusal.lower() for words in NO_ENGINE):
            return engine_error(refusal, "docker").what
    if _refusal([*docker, "manifest", "inspect", variant.base_image]) is None:
        return None
    name = variant.base_image.partition("@")[0]
    return f"the base image {name} is not here and its registry does not offer it"


def _refusal(command: list[str]) -> str | None:
    """Return what a command said when it failed, or None where it did not fail."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr or "no reason given"
