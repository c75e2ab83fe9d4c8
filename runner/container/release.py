"""The tag under which an image is published: version, variant and commit; it never moves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import runner
from runner.container.image import SOURCE_ROOT, SOURCES, Variant, image_sources, image_tag
from runner.errors import BackendError

COMMIT_DIGITS = 12


def release_tag(variant: Variant, root: Path = SOURCE_ROOT, *, allow_dirty: bool = False) -> str:
    """Return `<version>-<variant>-<commit>`.

    Args:
        allow_dirty: what is not committed makes it `…-dirty-<hash>`, by the hash of all inputs.

    Raises:
        BackendError: what enters the image is not what the commit says, or there is no commit.
    """
    commit = _git(root, "rev-parse", "HEAD").strip()[:COMMIT_DIGITS]
    tag = f"{runner.__version__}-{variant.name}-{commit}"
    uncommitted = uncommitted_sources(variant, root)
    if not uncommitted:
        return tag
    if not allow_dirty:
        rest = f" and {len(uncommitted) - 3} more" if len(uncommitted) > 3 else ""
        raise BackendError(
            id="image-not-committed",
            what=f"not as committed: {', '.join(uncommitted[:3])}{rest}",
            where=str(root),
            why=f"the tag `{tag}` would name an image that nobody can build from that commit",
            fix="commit them; or push under a tag that says so: --allow-dirty (make: "
            "ARGS=--allow-dirty)",
        )
    return f"{tag}-dirty-{image_tag(variant, root).rpartition('-')[2]}"


def uncommitted_sources(variant: Variant, root: Path) -> list[str]:
    """Return the files of an image that are not those of the commit, by name."""
    names = {str(path.relative_to(root)) for path in image_sources(variant, root)}
    tracked = set(_git(root, "ls-files", "-z").split("\0"))
    changed = set(_git(root, "diff", "--name-only", "--no-renames", "-z", "HEAD").split("\0"))
    of_image = {name for name in changed if name in names or name.split("/")[0] in SOURCES}
    return sorted((names - tracked) | of_image)


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise BackendError(
            id="image-no-commit",
            what=f"the commit of this clone cannot be read: {said.strip().splitlines()[-1]}",
            where=str(root),
            why="a published image is named by the commit that it is built from",
            fix="install git and push from a clone; for a folder of another owner: "
            "git config --global --add safe.directory " + str(root),
        ) from error
    return done.stdout
