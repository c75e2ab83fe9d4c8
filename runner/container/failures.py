"""What a failed build has printed, and the fault behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from runner.container.engine import engine_error
from runner.errors import BackendError

OUTPUT = re.compile(r"#\d+ \d+\.\d+ +(?P<text>\S.*)")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How one cause shows in the build's output, and what to tell the user about it."""

    pattern: str
    id: str
    what: str  # may name {package}, a group of the pattern
    why: str
    fix: str


FAILURES = (  # the first that is found decides
    Failure(
        pattern=r"no space left on device|No space left on device",
        id="image-disk-full",
        what="the disk of the Docker engine is full",
        why="the image takes about 3 GB (CPU) or 10 GB (CUDA) while it is built",
        fix="docker system df; docker builder prune; docker image prune -a",
    ),
    Failure(
        pattern=r"CERTIFICATE_VERIFY_FAILED|SSLError",
        id="image-certificate",
        what="the package index's certificate is not trusted inside the build",
        why="a proxy in between signs with an authority that the base image does not know",
        fix="TRAINBOX_CA_BUNDLE=/path/to/your-ca.pem, then the same command again",
    ),
    Failure(
        pattern=r" > \[internal\] load metadata for|pull access denied",
        id="image-no-base",
        what="the base image can neither be pulled nor is it here",
        why="the registry does not answer, or does not have it",
        fix="check the network; or use a base of your own (Ubuntu 24.04 or Debian 12): "
        "TRAINBOX_BASE_IMAGE=name TRAINBOX_BASE_PYTHON=3.12",
    ),
    Failure(
        pattern=r"(?m) E: (Failed to fetch|Unable to (fetch|locate)|The repository|Some index)",
        id="image-no-system-packages",
        what="the base lacks a system package, and the archive does not offer it",
        why="the image needs ca-certificates, Python with venv and, for CUDA, a compiler",
        fix="check the network; or use a base that has them: TRAINBOX_BASE_IMAGE (docs/images.md)",
    ),
    Failure(
        pattern=r"No matching distribution found for (?P<package>\S+)"
        r"|DO NOT MATCH THE HASHES[^\n]*\n[#\d. ]*(?P<other>\S+)",
        id="image-no-package",
        what="{package} is not offered to the build, or only as another file than the locked one",
        why="only the exact files of the lock are installed",
        fix="check pip's settings (`pip config list`); wheels can be put into wheelhouse/ "
        "(make wheelhouse, on a machine with an index)",
    ),
    Failure(
        pattern=r"Max retries exceeded|ReadTimeoutError|Temporary failure (in name )?resol",
        id="image-no-index",
        what="the package index does not answer inside the build",
        why="the locked packages are downloaded while the image is built",
        fix="check the network and HTTPS_PROXY; or put the wheels into wheelhouse/ (its README)",
    ),
)


def explain(output: str, log: Path) -> BackendError:
    """Return the error for what a failed build printed."""
    if re.search(r"permission denied while trying|Cannot connect to the Docker daemon", output):
        return engine_error(output, "docker build")
    for failure in FAILURES:
        if found := re.search(failure.pattern, output):
            package = next(
                (each for each in found.groupdict().values() if each), "a locked package"
            )
            what = failure.what.replace("{package}", package)
            return BackendError(
                id=failure.id, what=what, where=str(log), why=failure.why, fix=failure.fix
            )
    tail = [found["text"] for found in OUTPUT.finditer(output)][-3:]
    return BackendError(
        id="image-build-failed",
        what=f"the image could not be built: {' | '.join(tail) or output.strip()[-300:]}",
        where=str(log),
        why="the backend `docker` trains inside it",
        fix="read the end of the log; or train without Docker: --backend host",
    )
