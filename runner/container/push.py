"""Publish an image: push it under a tag that never moves, read it back, and compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.container.build import ensure_image
from runner.container.engine import connect
from runner.container.image import SOURCE_ROOT, Variant
from runner.container.reference import Reference, is_plain, parse_reference
from runner.container.refused import registry_error
from runner.container.registry import Manifest, Registry
from runner.container.release import release_tag
from runner.errors import BackendError

if TYPE_CHECKING:
    from docker import APIClient

Say = Callable[[str], None]

SAY_SECONDS = 15.0
# What engines say of a layer that they do not send.
WAS_THERE = ("Layer already exists", "Mounted from")


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """An image that a registry holds, as compared with the engine's."""

    reference: str  # by tag
    digest: str
    image_id: str  # of this engine
    sent_bytes: int  # by this push; 0 where the tag was there
    num_layers: int
    num_read_back: int  # layers of which every byte was read and unpacked again

    @property
    def pinned(self) -> str:
        """The name by which it stays this image for ever."""
        return f"{parse_reference(self.reference).name}@{self.digest}"


def push_image(
    variant: Variant,
    repository: str,
    *,
    say: Say,
    root: Path = SOURCE_ROOT,
    allow_dirty: bool = False,
    read_all: bool = False,
) -> Pushed:
    """Have the image of a variant, push it and read it back.

    Args:
        repository: registry and name, such as `registry.example/team/trainbox`.
        allow_dirty: push what is not committed, under a tag that says so.
        read_all: read back what the registry had before, too.

    Raises:
        BackendError: no image, no way into the registry, or the tag holds another image.
    """
    tag = release_tag(variant, root, allow_dirty=allow_dirty)
    reference = parse_reference(f"{repository}:{tag}")
    with connect(timeout_seconds=None) as client:
        is_insecure = is_plain(reference.host, client.info())
        with Registry(reference, plain=is_insecure) as registry:
            # one that does not answer, or lets nobody in, does so before minutes of building
            registry.manifest(reference.tag)
        image = ensure_image(variant, say=say, root=root)
        local = client.inspect_image(image)  # type: ignore[no-untyped-call]
        with Registry(reference, plain=is_insecure) as registry:
            return _push(client, registry, reference, local, say=say, read_all=read_all)


def _push(
    client: APIClient,
    registry: Registry,
    reference: Reference,
    local: Mapping[str, Any],
    *,
    say: Say,
    read_all: bool,
) -> Pushed:
    machine = str(local["Architecture"])
    before = registry.manifest(reference.tag, machine)
    if before is not None and local["Id"] not in before.digests:
        raise _taken(reference, before)
    layers: list[str] = local["RootFS"]["Layers"]
    if before is not None:
        say(f"{reference} is there already")
        old = set(layers)
    else:
        say(f"pushing {reference}")
        client.tag(local["Id"], reference.name, reference.tag)
        old = _send(client, reference, layers, say)
    held = registry.manifest(reference.tag, machine)
    if held is None:
        raise registry_error("manifest unknown, right after the push", str(reference))
    read = layers if read_all else [layer for layer in layers if layer not in old]
    compare(registry, held, local, read=set(read), say=say)
    sent = [blob.size for blob, layer in zip(held.layers, layers, strict=True) if layer not in old]
    return Pushed(
        reference=str(reference),
        digest=held.digest,
        image_id=local["Id"],
        sent_bytes=0 if before is not None else sum(sent) + held.config.size + held.size,
        num_layers=len(layers),
        num_read_back=len(read),
    )


def compare(
    registry: Registry, held: Manifest, local: Mapping[str, Any], *, read: set[str], say: Say
) -> None:
    """Compare what a registry holds with the engine's image.

    Args:
        read: digests of unpacked layers to read whole; of the others the size is asked for.

    Raises:
        BackendError: it is not the same image.
    """
    config = registry.config(held)
    layers: list[str] = local["RootFS"]["Layers"]
    if config["rootfs"]["diff_ids"] != layers or len(held.layers) != len(layers):
        raise _other(held, "its layers are not the engine's")
    for name in ("Labels", "Env", "Entrypoint", "Cmd", "User"):
        if (config["config"].get(name) or None) != (local["Config"].get(name) or None):
            raise _other(held, f"its {name} are not the engine's")
    for blob, layer in zip(held.layers, layers, strict=True):
        if layer not in read:
            registry.require(blob)
            continue
        if blob.size > 100e6:
            say(f"  reading back {blob.size / 1e6:.0f} MB")
        if registry.read_layer(blob) not in (layer, ""):
            raise _other(held, f"its layer {blob.digest} unpacks to something else")


def _send(client: APIClient, reference: Reference, layers: Iterable[str], say: Say) -> set[str]:
    """Push by the engine; return the unpacked layers that the registry had."""
    from docker.errors import APIError

    try:
        lines = client.push(reference.name, reference.tag, stream=True, decode=True)
        return read_progress(lines, str(reference), layers, say)
    except APIError as error:
        raise registry_error(str(error.explanation or error), str(reference)) from error


def read_progress(
    lines: Iterable[Mapping[str, Any]], reference: str, layers: Iterable[str], say: Say
) -> set[str]:
    """Follow a push to its end; return the layers that were not sent.

    Args:
        lines: the engine's messages; a layer's `id` in them begins its digest.
        layers: digests of the unpacked layers.

    Raises:
        BackendError: the push failed.
    """
    there: set[str] = set()
    sent: dict[str, tuple[int, int]] = {}
    said_at = time.monotonic()
    for line in lines:
        if error := line.get("error"):
            raise registry_error(str(error), reference)
        name, status = str(line.get("id", "")), str(line.get("status", ""))
        if status.startswith(WAS_THERE):
            there.add(name)
        progress = line.get("progressDetail") or {}
        if "current" in progress:
            sent[name] = (progress["current"], progress.get("total", 0))
        if sent and time.monotonic() - said_at > SAY_SECONDS:
            said_at = time.monotonic()
            done, total = (sum(each) / 1e6 for each in zip(*sent.values(), strict=True))
            say(f"  sent {done:.0f} of {max(done, total):.0f} MB (before compression)")
    return {layer for layer in layers if layer.partition(":")[2][:12] in there}


def _taken(reference: Reference, held: Manifest) -> BackendError:
    return BackendError(
        id="registry-tag-taken",
        what=f"the tag {reference.tag} is taken by another image ({held.digest})",
        where=str(reference),
        why="a published tag never moves: whoever recorded it would get something else",
        fix="use the one that is there (`trainbox image verify` looks into it), or commit a "
        "change and push under the new commit",
    )


def _other(held: Manifest, what: str) -> BackendError:
    return BackendError(
        id="registry-other-image",
        what=f"what the registry holds is not what was pushed: {what}",
        where=held.digest,
        why="something between the engine and the registry has changed it",
        fix="push past proxies and mirrors; do not use this digest",
    )
