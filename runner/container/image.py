"""Which image a variant is: its base, its lock, its tag, its labels; nothing is built here."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import runner
from runner.container.promise import Promise, labels_of, promise_of_versions
from runner.errors import BackendError
from runner.record.surroundings import PACKAGES

SOURCE_ROOT = Path(runner.__file__).parent.parent
REPOSITORY = "trainbox"
TAG_DIGITS = 12
# What the Dockerfile copies or mounts; .dockerignore lets nothing else into a build. The wheelhouse
# is not among it: its wheels count by the hashes in the lock alone.
SOURCES = (
    "Dockerfile", ".dockerignore", "LICENSE", "README.md", "pyproject.toml", "image", "env_check",
    "runner",
)  # fmt: skip
OF_ALL_STAGES = ("Dockerfile", "image/settle.py", "image/system-packages")  # others hold no code
# Ubuntu 24.04, Python 3.12. By digest; the tag is for people. The CPU variant shares the first: one
# base to pull, and its CUDA part is 0.1 GB.
CUDA_13_0 = (
    "nvidia/cuda:13.0.3-base-ubuntu24.04"
    "@sha256:7c7413a56200486f71f181cad9310f6fd31b6bb21816ade15fc9c1e1e927a5c1"
)
CUDA_12_8 = (
    "nvidia/cuda:12.8.1-base-ubuntu24.04"
    "@sha256:133c78a0575303be34164d0b90137a042172bdf60696af01a3c424ab402d86e2"
)
CUDA_12_6 = (
    "nvidia/cuda:12.6.3-base-ubuntu24.04"
    "@sha256:c87e78933f4c16e3272123bf2f75537306596d0fbaa395a29696a22786e5ee0e"
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What an image is made from."""

    name: str
    lock: str  # locks/<lock>.lock
    base_image: str
    python: str = "3.12"  # of the base; `python<this>` is a package of it
    target: str | None = None  # stage of the Dockerfile; None: the last one, with our code


VARIANTS = {
    "cpu": Variant(name="cpu", lock="cpu", base_image=CUDA_13_0),
    "cu130": Variant(name="cu130", lock="cu130", base_image=CUDA_13_0),
    "cu128": Variant(name="cu128", lock="cu128", base_image=CUDA_12_8),
    "cu126": Variant(name="cu126", lock="cu126", base_image=CUDA_12_6),
    "mlflow": Variant(name="mlflow", lock="mlflow", base_image=CUDA_13_0, target="mlflow"),
}


def choose_variant(name: str, environ: Mapping[str, str] | None = None) -> Variant:
    """Return a variant, with the base that this user has put in the place of ours.

    Args:
        environ: TRAINBOX_BASE_IMAGE and TRAINBOX_BASE_PYTHON name another base, such as a mirror's.
    """
    environ = os.environ if environ is None else environ
    variant = VARIANTS[name]
    return replace(
        variant,
        base_image=environ.get("TRAINBOX_BASE_IMAGE") or variant.base_image,
        python=environ.get("TRAINBOX_BASE_PYTHON") or variant.python,
    )


def image_tag(variant: Variant, root: Path = SOURCE_ROOT) -> str:
    """Return `trainbox:<variant>-<hash>`: the same inputs, the same tag; other code, another one.

    Raises:
        BackendError: trainbox runs from an installed package, not from a clone.
    """
    if not (root / "Dockerfile").is_file():
        raise BackendError(
            id="image-no-source",
            what="there is no Dockerfile here to build the image from",
            where=str(root),
            why="trainbox runs from an installed package; images are built from a clone",
            fix="start trainbox from its clone",
        )
    return f"{REPOSITORY}:{variant.name}-{inputs_digest(variant, root)[:TAG_DIGITS]}"


def inputs_digest(variant: Variant, root: Path = SOURCE_ROOT) -> str:
    """Return the SHA-256 over all that a variant's image is made from."""
    digest = hashlib.sha256(f"{variant.base_image}\n{variant.python}\n".encode())
    for path in sorted(image_sources(variant, root)):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def image_labels(variant: Variant, root: Path = SOURCE_ROOT) -> dict[str, str]:
    """Return what the image says about itself; the record of a run reads it back."""
    lock = (root / "locks" / f"{variant.lock}.lock").read_bytes()
    promise = promise_of(variant, root)
    return {
        "org.opencontainers.image.title": REPOSITORY,
        "org.opencontainers.image.version": runner.__version__,
        "org.opencontainers.image.base.name": variant.base_image,
        "trainbox.variant": variant.name,
        "trainbox.lock": variant.lock,
        "trainbox.lock.sha256": hashlib.sha256(lock).hexdigest(),
        "trainbox.python": variant.python,
        "trainbox.inputs.sha256": inputs_digest(variant, root),
        **(labels_of(promise) if promise else {}),
    }


def promise_of(variant: Variant, root: Path = SOURCE_ROOT) -> Promise | None:
    """Return what the build proves of a variant's CUDA, or None where it has none."""
    lock = (root / "locks" / f"{variant.lock}.lock").read_text(encoding="utf-8")
    return promise_of_versions(locked_versions(lock))


def locked_versions(lock: str) -> dict[str, str]:
    """Return the versions of the packages that decide what is trained, from a lock's text."""
    pins = dict(re.findall(r"(?m)^([A-Za-z0-9._-]+)={2,3}([^\s;\\]+)", lock))
    return {name: pins[name] for name in PACKAGES if name in pins}


def image_sources(variant: Variant, root: Path = SOURCE_ROOT) -> Iterator[Path]:
    """Yield the files that a variant's image is made from."""
    yield root / "locks" / f"{variant.lock}.lock"
    for name in SOURCES if variant.target is None else OF_ALL_STAGES:
        place = root / name
        for path in [place] if place.is_file() else place.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path
