"""What an image says of itself, here or still at its registry: read before a layer is pulled."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import runner
from env_check.choose import Variant as Promised
from env_check.choose import choose, target_of, why_not
from env_check.facts import Facts
from runner.container.engine import connect
from runner.container.gpu import refuse_fault_beneath
from runner.container.image import REPOSITORY, SOURCE_ROOT, VARIANTS, Variant, inputs_digest
from runner.container.reference import HUB, is_plain, parse_reference
from runner.container.refused import registry_error
from runner.container.registry import Registry
from runner.errors import BackendError

if TYPE_CHECKING:
    from docker import APIClient

Say = Callable[[str], None]

LOCK = "/opt/trainbox/lock"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, kw_only=True)
class Described:
    """An image by its configuration."""

    reference: str  # as the user named it
    image_id: str | None  # None: it is not on this machine
    digest: str | None  # at its registry; None: it has been at none
    machine: str  # the processor it is for, as registries call it: amd64, arm64
    config: Mapping[str, Any]  # Labels, Env, Entrypoint …
    history: tuple[str, ...]  # what made it, first to last

    @property
    def labels(self) -> Mapping[str, str]:
        return self.config.get("Labels") or {}


def describe(client: APIClient, reference: str) -> Described:
    """Describe an image of this machine, else of its registry.

    Raises:
        BackendError: it is no name, it is at neither, or the registry does not answer.
    """
    from docker.errors import APIError, ImageNotFound

    named = parse_reference(reference)  # an id passes as well
    try:
        found = client.inspect_image(reference)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        try:
            return _at_registry(client, reference)
        except BackendError as error:
            error.what = f"the image is not on this machine, and {error.what}"
            if named.host == HUB:  # nobody meant Docker Hub: it holds no image of ours
                error.fix = (
                    f"name one that is here (`docker image ls {REPOSITORY}`), or one of "
                    "a registry: host/name:tag"
                )
            raise
    except APIError as error:
        raise registry_error(str(error.explanation or error), reference) from error
    history = client.history(found["Id"])  # type: ignore[no-untyped-call]
    return Described(
        reference=reference,
        image_id=found["Id"],
        digest=digest_of(found, reference),
        machine=found["Architecture"],
        config=found["Config"],
        history=tuple(str(each["CreatedBy"]) for each in reversed(history)),
    )


def _at_registry(client: APIClient, text: str) -> Described:
    reference = parse_reference(text)
    info = client.info()
    with Registry(reference, plain=is_plain(reference.host, info)) as registry:
        manifest = registry.manifest(reference.tag, MACHINES.get(info["Architecture"], "amd64"))
        if manifest is None:
            raise registry_error("manifest unknown", text)
        config = registry.config(manifest)
    return Described(
        reference=text,
        image_id=None,
        digest=manifest.digest,
        machine=config["architecture"],
        config=config["config"],
        history=tuple(str(each.get("created_by", "")) for each in config.get("history") or ()),
    )


def digest_of(image: Mapping[str, Any], reference: str) -> str | None:
    """Return the digest of an image of this machine at a registry: at the one that is named."""
    known = dict(name.split("@", 1) for name in image.get("RepoDigests") or ())
    name = re.sub(r":[^:/]*$", "", reference.partition("@")[0])
    return known.get(name) or next(iter(known.values()), None)


def have(client: APIClient, image: Described, *, say: Say) -> Described:
    """Return an image that is on this machine: the one described is pulled where it is not.

    Raises:
        BackendError: it cannot be pulled.
    """
    from docker.errors import APIError

    if image.image_id is not None:
        return image
    reference = parse_reference(image.reference)
    say(f"pulling {reference}")
    try:
        for line in client.pull(reference.name, image.digest, stream=True, decode=True):
            if error := line.get("error"):
                raise registry_error(str(error), image.reference)
    except APIError as error:
        raise registry_error(str(error.explanation or error), image.reference) from error
    pulled = describe(client, f"{reference.name}@{image.digest}")
    if ":" not in reference.tag:  # else it would be asked for at the registry again
        client.tag(pulled.image_id, reference.name, reference.tag)
    return pulled


def lock_inside(client: APIClient, image: Described) -> str:
    """Return the lock that an image of ours was built from; nothing is started.

    Raises:
        BackendError: it is not in the image.
    """
    from docker.errors import APIError

    created = client.create_container(image.image_id, ["true"])
    try:
        chunks, _ = client.get_archive(created["Id"], LOCK)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            file = archive.extractfile("lock")
            assert file is not None, "the lock is a file"
            return file.read().decode("utf-8", errors="replace")
    except (APIError, KeyError) as error:
        what = f"this image has the labels of trainbox, and {LOCK} is not in it"
        raise _foreign(image.reference, what) from error
    finally:
        client.remove_container(created, force=True)


def lock_of(client: APIClient, image: Described) -> str:
    """Return the text of an image's lock: of this clone where it is the same, else from inside."""
    labels = image.labels
    here = SOURCE_ROOT / "locks" / f"{labels['trainbox.lock']}.lock"
    if here.is_file():
        content = here.read_bytes()
        if hashlib.sha256(content).hexdigest() == labels["trainbox.lock.sha256"]:
            return content.decode("utf-8")
    return lock_inside(client, image)


def usable_image(reference: str, facts: Facts, *, wants_gpu: bool, say: Say) -> str:
    """Have the image that a user names, if a run here can go on in it; return its reference.

    Args:
        facts: of this machine.
        wants_gpu: the plan counts on a card.

    Raises:
        BackendError: it is not ours, does not fit, or cannot be had; nothing was pulled but a
            suitable one.
    """
    if wants_gpu:
        refuse_fault_beneath(facts)
    with connect(timeout_seconds=None) as client:
        image = describe(client, reference)
        require_ours(image)
        require_usable(image, facts=facts, wants_gpu=wants_gpu)
        image = have(client, image, say=say)
    say(f"image: {reference} ({image.labels['trainbox.variant']}, named by --image)")
    if not is_of_clone(image):
        say("  its code is of another state than this clone, of the same version")
    return reference


def is_of_clone(image: Described, root: Path = SOURCE_ROOT) -> bool:
    """Tell whether an image says that it was built from the very files that lie here."""
    labels = image.labels
    said = labels.get("trainbox.inputs.sha256")
    lock = labels["trainbox.lock"]
    if said is None or not (root / "locks" / f"{lock}.lock").is_file():
        return False
    variant = Variant(
        name=labels["trainbox.variant"],
        lock=lock,
        base_image=labels.get("org.opencontainers.image.base.name", ""),
        python=labels["trainbox.python"],
    )
    return (root / "Dockerfile").is_file() and inputs_digest(variant, root) == said


def require_ours(image: Described) -> None:
    """Refuse an image that was not built from this repository's Dockerfile.

    Raises:
        BackendError: its labels are not those of our images.
    """
    labels = image.labels
    title = labels.get("org.opencontainers.image.title")
    wanted = ("trainbox.variant", "trainbox.lock", "trainbox.lock.sha256", "trainbox.python")
    missing = [name for name in wanted if name not in labels]
    variant = VARIANTS.get(labels.get("trainbox.variant", ""))
    if title != REPOSITORY:
        what = f"its title is `{title}`" if title else "it has no title"
    elif missing:
        what = f"the label {missing[0]} is missing"
    elif variant is None or variant.target is not None:
        what = f"its variant is `{labels['trainbox.variant']}`, in which nothing trains"
    else:
        return
    raise _foreign(image.reference, f"this is no training image of trainbox: {what}")


def _foreign(reference: str, what: str) -> BackendError:
    return BackendError(
        id="image-foreign",
        what=what,
        where=reference,
        why="nothing says what is in it, so nothing can be checked or recorded",
        fix="name one that `trainbox image build` or `trainbox image push` made",
    )


def require_usable(image: Described, *, facts: Facts, wants_gpu: bool) -> None:
    """Refuse an image that cannot train on this machine, or not what this trainbox has planned.

    Args:
        facts: of this machine.
        wants_gpu: the plan counts on a card.

    Raises:
        BackendError: another version of ours, or no code for this processor, card or driver.
    """
    version = image.labels.get("org.opencontainers.image.version", "")
    if version != runner.__version__:
        raise BackendError(
            id="image-other-version",
            what=f"the image holds trainbox {version or 'of no version'}, "
            f"this is {runner.__version__}",
            where=image.reference,
            why="the plan written here is read in there",
            fix=f"use an image of {runner.__version__}, or the clone that the image is from",
        )
    wanted = MACHINES.get(facts.host.machine, facts.host.machine)
    if image.machine != wanted:
        raise BackendError(
            id="image-other-machine",
            what=f"the image is for {image.machine}, this machine is {wanted}",
            where=image.reference,
            why="its programs do not run here, or many times slower",
            fix="leave out --image, and one is built here; or name one for this machine",
        )
    if wants_gpu and (reason := why_not_here(image.labels, facts)):
        best = choose(facts)
        is_any = best.variant not in (None, "cpu")
        way_out = f"leave out --image: {best.variant} fits" if is_any else best.way_out
        raise BackendError(
            id="image-not-for-this-gpu",
            what=f"this image does not train on this machine's GPU: {reason}",
            where=image.reference,
            why="it would be found out inside, after the image has been pulled",
            fix=f"{way_out}; or train on the CPU: --set resources.gpus=0",
        )


def why_not_here(labels: Mapping[str, str], facts: Facts) -> str:
    """Return why an image's promise does not hold on these cards, empty where it does."""
    if not labels.get("trainbox.cuda"):
        return "it is for the CPU"
    promised = Promised(
        f"cu{labels['trainbox.cuda'].replace('.', '')}",
        labels.get("trainbox.torch", ""),
        labels["trainbox.cuda"],
        labels.get("trainbox.driver", ""),
    )
    target = target_of(facts)
    if not target.driver or not target.capabilities:
        return ""  # a card or driver that does not tell: the engine's own trial decides
    return why_not(promised, target)
