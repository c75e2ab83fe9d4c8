"""Prove that an image can be repeated: build it twice with buildah, compare layer by layer.

Docker's BuildKit before 0.13 writes the time of the build into every layer; buildah keeps to one
time. Everything lies below one folder, which is removed: no cache of an earlier build is used.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.container.build import (
    build_inputs,
    build_secrets,
    run_build,
    with_obtainable_lock,
)
from runner.container.failures import explain
from runner.container.image import SOURCE_ROOT, Variant, image_sources
from runner.container.repro_compare import Difference, compare_images
from runner.container.unwind import unwound
from runner.errors import BackendError
from runner.record.layout import cache_root

Say = Callable[[str], None]

# 2026-01-01, the Dockerfile's default: the time of every file, of the image and of its history.
EPOCH = 1767225600
REGISTRY_NAME = re.compile(r"[^/]*[.:][^/]*|localhost")  # the first part of a name that names one


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Two builds of one state: the digests that a registry gives them, and all that differs."""

    base: str
    tool: str  # whose digest it is; another tool gives another
    digests: tuple[str, str]
    differences: tuple[Difference, ...]

    @property
    def holds(self) -> bool:
        return not self.differences and self.digests[0] == self.digests[1]


def build_twice(
    variant: Variant, *, say: Say, root: Path = SOURCE_ROOT, environ: Mapping[str, str] = os.environ
) -> Proof:
    """Build a variant twice without a cache and compare the two.

    Needs free disk of about twice the image, below TRAINBOX_CACHE.

    Raises:
        BackendError: no buildah, no base, or a build failed.
    """
    buildah = shutil.which("buildah")
    if buildah is None:
        raise BackendError(
            id="repro-no-buildah",
            what="there is no `buildah` command",
            why="it builds the same bytes twice; Docker's BuildKit does so from 0.13 on only",
            fix="apt-get install buildah (Debian, Ubuntu), dnf install buildah (Fedora)",
        )
    place = cache_root() / "images"
    place.mkdir(parents=True, exist_ok=True)
    with unwound(), tempfile.TemporaryDirectory(prefix="repro-", dir=place) as folder:
        work = Work(buildah=buildah, folder=Path(folder), log=place / f"repro-{variant.name}.log")
        try:
            base = work.bring_base(variant.base_image)
            used = with_obtainable_lock(variant, root, say)
            state = work.keep_state(used, root)
            digests = [work.build(used, base, state, number, environ, say) for number in (1, 2)]
            say("comparing the two, layer by layer")
            differences = tuple(compare_images(work.image(1), work.image(2)))
        finally:
            work.remove_storage()
    return Proof(
        base=variant.base_image,
        tool=_output([buildah, "--version"]).strip(),
        digests=(digests[0], digests[1]),
        differences=differences,
    )


@dataclass(frozen=True, kw_only=True)
class Work:
    """One folder with a storage of its own for buildah, and the two images."""

    buildah: str
    folder: Path
    log: Path

    def command(self, *arguments: str) -> list[str]:
        storage = (f"--root={self.folder}/storage", f"--runroot={self.folder}/run")
        return [self.buildah, *storage, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """This process's, with buildah's cache mounts and large files below the folder."""
        return {**os.environ, "TMPDIR": str(self.folder)}

    def image(self, number: int) -> Path:
        return self.folder / f"image-{number}"

    def bring_base(self, base: str) -> str:
        """Have a base in the storage; return its id.

        Raises:
            BackendError: neither the Docker engine nor a registry has it.
        """
        said = ""
        for source in base_sources(base):
            command = self.command("pull", "--quiet", source)
            done = subprocess.run(
                command, env=self.environment, capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                return done.stdout.split()[-1]
            said = done.stderr.strip().rpartition("\n")[2]
        raise BackendError(
            id="repro-no-base",
            what=f"the base image cannot be had: {said}",
            where=base,
            why="the two builds start from it",
            fix="check the network; a base of your own: TRAINBOX_BASE_IMAGE, TRAINBOX_BASE_PYTHON",
        )

    def keep_state(self, variant: Variant, root: Path) -> Path:
        """Copy what the image is made from: a tree may change while two builds take minutes."""
        kept = self.folder / "state"
        for path in image_sources(variant, root):
            copy = kept / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        shutil.copytree(root / "wheelhouse", kept / "wheelhouse")
        return kept

    def build(
        self,
        variant: Variant,
        base: str,
        root: Path,
        number: int,
        environ: Mapping[str, str],
        say: Say,
    ) -> str:
        """Build one of the two and write it out; return the digest a registry gives it.

        Raises:
            BackendError: the build failed.
        """
        say(f"build {number} of 2 (log: {self.log})")
        with build_secrets(environ) as secrets:
            inputs = build_inputs(variant, root, secrets, environ)
            # the labels keep the base's name; what is built on is the one in the storage
            taken = f"--build-arg=BASE_IMAGE={base}"
            command = self.command(*build_options(number), *inputs, taken, str(root))
            code, output = run_build(command, self.log, say, environment=self.environment)
        if code:
            raise explain(output, self.log)
        digest = self.folder / f"digest-{number}"
        push = ("push", "--quiet", f"--digestfile={digest}", f"two:{number}")
        self._run(*push, f"oci:{self.image(number)}:image")
        self._run("rmi", "--force", f"two:{number}")  # the disk holds one storage at a time
        return digest.read_text(encoding="utf-8").strip()

    def remove_storage(self) -> None:
        """Remove what buildah keeps: mounts, and files that this user may not remove by itself."""
        for arguments in (("rm", "--all"), ("rmi", "--all", "--force")):
            subprocess.run(
                self.command(*arguments), env=self.environment, capture_output=True, check=False
            )

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise explain(done.stderr, self.log)


def build_options(number: int) -> list[str]:
    """Return how buildah builds: a layer for each step, one time for all, nothing of before."""
    return [
        "build", "--layers", "--no-cache", "--pull=never", "--network=host",
        f"--timestamp={EPOCH}", f"--build-arg=SOURCE_DATE_EPOCH={EPOCH}", f"--tag=two:{number}",
    ]  # fmt: skip


def base_sources(base: str) -> Sequence[str]:
    """Return where buildah may find a base: the Docker engine of this machine, then a registry.

    A name with tag and digest is taken by its digest: the tools know either the one or the other.
    """
    name, _, digest = base.partition("@")
    if digest:
        first, _, last = name.rpartition("/")
        last = last.partition(":")[0]
        name = f"{first}/{last}@{digest}" if first else f"{last}@{digest}"
        return [f"docker://{_with_registry(name)}"]
    return [f"docker-daemon:{name}" + ("" if ":" in name.rpartition("/")[2] else ":latest"),
            f"docker://{_with_registry(name)}"]  # fmt: skip


def _with_registry(name: str) -> str:
    """Return a name as Docker reads it: without a registry it is one of Docker Hub's."""
    first, slash, _ = name.partition("/")
    if slash and REGISTRY_NAME.fullmatch(first):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
