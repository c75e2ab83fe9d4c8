"""Prove that an image is what its labels say: labels, lock, tables, proof and files are one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.container import audit
from runner.container.described import (
    Described,
    describe,
    have,
    is_of_clone,
    lock_inside,
    require_ours,
)
from runner.container.engine import connect
from runner.container.image import SOURCE_ROOT, locked_versions
from runner.container.promise import Promise, labels_of, promise_of_versions, provable
from runner.container.settings import PIDS, TEMPORARY
from runner.container.tool import run_to_end
from runner.errors import BackendError, Faults

if TYPE_CHECKING:
    from docker import APIClient

Say = Callable[[str], None]

OF_A_PROMISE = (
    "trainbox.torch", "trainbox.cuda", "trainbox.driver", "trainbox.architectures", "trainbox.ptx",
)  # fmt: skip
NAMED = 5  # files, of which the others are counted
PYTHON = "/opt/venv/bin/python"
# What the Dockerfile ends with: an entry point, and one instruction after it.
END_OF_BUILD = "trainbox-entrypoint"


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was proved of an image."""

    reference: str
    image_id: str
    digest: str | None
    variant: str
    version: str  # of trainbox
    lock: str
    measured: Mapping[str, Any]  # of its installed files, now
    num_files: int  # each as pip wrote it down at the installation
    is_of_this_clone: bool  # built from the files that lie here, with which it was compared

    def render(self) -> str:
        """Return the result for a terminal."""
        cuda = self.measured.get("cuda")
        lines = [
            f"{self.reference}: is what its labels say",
            f"  image    {self.image_id}",
            f"  digest   {self.digest or 'none: it has been at no registry'}",
            f"  variant  {self.variant} (trainbox {self.version}, lock {self.lock})",
            f"  proof    torch {self.measured.get('torch')}, "
            + (f"CUDA {cuda}, for {', '.join(self.measured['architectures'])}" if cuda else "CPU"),
            f"  files    {self.num_files} as installed",
            "  code     "
            + (
                "that of this clone, file by file"
                if self.is_of_this_clone
                else "of another state than this clone: as installed"
            ),
        ]
        return "\n".join(lines)


def verify_image(reference: str, *, say: Say, root: Path = SOURCE_ROOT) -> Verified:
    """Look into an image; return what was proved.

    Args:
        reference: name, digest or id; pulled where it is not on this machine.
        root: the clone whose files an image of this version is compared with.

    Raises:
        BackendError: there is no such image, it is not ours, or it cannot be started.
        Faults: it is not what its labels say; one for each difference.
    """
    with connect(timeout_seconds=None) as client:
        image = describe(client, reference)
        require_ours(image)
        image = have(client, image, say=say)
        lock = lock_inside(client, image)
        promise, unknown = promised(lock)
        say(f"looking into {reference}: every file of its packages is read …")
        seen = look_inside(client, image, provable(promise))
    is_here = is_of_clone(image, root)
    faults = [
        *(("image-label-wrong", line) for line in unknown or labels_wrong(image, lock, promise)),
        *(("image-proof-failed", line) for line in proof_failed(seen)),
        *(("image-file-changed", line) for line in files_changed(seen)),
        *(("image-file-changed", line) for line in code_changed(seen, root) if is_here),
        *(("image-layer-added", line) for line in layers_added(image.history)),
    ]
    if faults:
        raise Faults([_fault(id, what, reference) for id, what in faults])
    labels = image.labels
    return Verified(
        reference=reference,
        image_id=str(image.image_id),
        digest=image.digest,
        variant=labels["trainbox.variant"],
        version=labels.get("org.opencontainers.image.version", ""),
        lock=labels["trainbox.lock"],
        measured=json.loads(seen["proof"]["facts"]),
        num_files=seen["num_files"],
        is_of_this_clone=is_here,
    )


def look_inside(client: APIClient, image: Described, promise: str) -> dict[str, Any]:
    """Run the audit in a container without rights; return what it saw.

    Raises:
        BackendError: the engine does not start it, or the image's Python does not run it.
    """
    from docker.errors import APIError
    from docker.types import LogConfig

    script = Path(audit.__file__).read_text(encoding="utf-8")
    host = client.create_host_config(
        network_mode="none", read_only=True, cap_drop=["ALL"], pids_limit=PIDS, init=True,
        security_opt=["no-new-privileges:true"], tmpfs={TEMPORARY: "mode=1777"},
        log_config=LogConfig(type="none"),
    )  # fmt: skip
    try:
        container = client.create_container(
            image.image_id, ["-I", "-S", "-c", script, promise], entrypoint=PYTHON, user="0:0",
            environment={"HOME": TEMPORARY}, host_config=host, use_config_proxy=False,
        )["Id"]  # fmt: skip
    except APIError as error:
        raise _fault(
            "image-not-started", str(error.explanation or error), image.reference
        ) from error
    try:
        ended = run_to_end(client, container, lambda _: None)
    except APIError as error:
        raise _fault(
            "image-not-started", str(error.explanation or error), image.reference
        ) from error
    finally:
        client.remove_container(container, force=True)
    if ended.exit_code:
        raise _fault("image-not-started", ended.last_line, image.reference)
    seen: dict[str, Any] = json.loads(ended.out)
    return seen


def promised(lock: str) -> tuple[Promise | None, list[str]]:
    """Return what the tables promise of a lock's versions, and why they do not."""
    try:
        return promise_of_versions(locked_versions(lock)), []
    except LookupError as error:
        return None, [str(error.args[0])]


def labels_wrong(image: Described, lock: str, promise: Promise | None) -> Iterator[str]:
    """Yield the labels that lock and tables contradict."""
    wanted = labels_of(promise) if promise else {}
    wanted |= {"trainbox.lock.sha256": hashlib.sha256(lock.encode()).hexdigest()}
    for name in sorted(set(OF_A_PROMISE) | set(wanted)):
        said = image.labels.get(name)
        if said != wanted.get(name):
            yield f"label {name} is {said!r}, its lock says {wanted.get(name)!r}"
    variant, of_cuda = image.labels["trainbox.variant"], wanted.get("trainbox.cuda", "")
    # the CPU's image may hold the CUDA build, where no other could be had
    if variant != "cpu" and variant != f"cu{of_cuda.replace('.', '')}":
        yield f"label trainbox.variant is {variant!r}, its lock is for CUDA {of_cuda or 'none'}"
    variables = dict(each.partition("=")[::2] for each in image.config.get("Env") or ())
    floor = f"cuda>={promise.driver_cuda}" if promise else ""
    if variables.get("NVIDIA_REQUIRE_CUDA", "") != floor:
        said = variables.get("NVIDIA_REQUIRE_CUDA", "")
        yield f"variable NVIDIA_REQUIRE_CUDA is {said!r}, its lock says {floor!r}"


def proof_failed(seen: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the image's own proof says now, and where it differs from the build's."""
    proof = seen["proof"]
    if proof["exit_code"]:
        yield from proof["said"].splitlines()[-NAMED:] or [f"exit code {proof['exit_code']}"]
    elif proof["exit_code"] is None or proof["facts"] is None:
        yield f"the proof is not in the image, or does not run: {proof['said']}"
    elif proof["facts"] != seen["facts"]:
        yield f"at its build were measured {seen['facts']!r}, now are {proof['facts']!r}"


def files_changed(seen: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files of packages that are not as pip wrote them down, a few by name."""
    for names, what in (
        (seen["changed"], "not as installed"),
        (seen["added"], "brought by no package"),
        (seen["byte_code"], "byte code of something else"),
    ):
        if names:
            yield f"{what}: {_some(names)}"


def code_changed(seen: Mapping[str, Any], root: Path) -> Iterator[str]:
    """Yield our own files that are not those of the clone, though the labels say so."""
    ours = seen["ours"]
    here = {
        str(path.relative_to(root)) for name in audit.OURS for path in (root / name).rglob("*.py")
    }
    differing = sorted(
        name for name in here | set(ours) if audit.hash_of(str(root / name)) != ours.get(name)
    )
    if differing:
        yield f"not the files of the clone that its label names: {_some(differing)}"


def layers_added(history: Sequence[str]) -> Iterator[str]:
    """Yield what was put on top of an image after its build, as far as its history tells."""
    ends = [
        number
        for number, made in enumerate(history)
        if "ENTRYPOINT" in made and END_OF_BUILD in made
    ]
    if ends and (later := history[ends[0] + 2 :]):
        said = "; ".join(" ".join(made.split())[:80] or "a commit" for made in later[:NAMED])
        yield f"put on top of what the build made: {said}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


WHY = {
    "image-label-wrong": "by its labels an image is chosen, and recorded in every run",
    "image-proof-failed": "the build ends only where this proof holds: it was changed since",
    "image-file-changed": "what runs in it is not what was built and recorded",
    "image-layer-added": "it carries the labels of an image that it no longer is",
    "image-not-started": "nothing can be said of an image that does not start",
}


def _fault(id: str, what: str, reference: str) -> BackendError:
    return BackendError(
        id=id,
        what=what,
        where=reference,
        why=WHY[id],
        fix="do not use it: build it anew (`trainbox image build`), or pull it by its digest",
    )
