"""Compare two images layer by layer, on the standard library: every file that differs is named.

Reads what `buildah push … oci:FOLDER` writes, and the archive of `docker save`.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any

CHUNK_BYTES = 1 << 20
KINDS = {
    tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "link", tarfile.LNKTYPE: "hard link", tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device", tarfile.FIFOTYPE: "pipe",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of a layer; what is not named here does not exist in a tar archive."""

    kind: str
    mode: int
    owner: str
    mtime: float  # seconds since 1970
    target: str  # of a link
    size: int  # bytes
    sha256: str  # of a file's content
    attributes: tuple[tuple[str, str], ...]  # extended


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One place in which two images are not the same.

    `layer` counts from 1, the base's first layer; 0 is the configuration. `what` names the fields
    of `Entry` that differ, or says that only one of the two has it.
    """

    layer: int
    path: str
    what: str


Layer = Callable[[ExitStack], IO[bytes]]  # opens the archive of a layer, compressed or not


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image on disk: its configuration, and its layers in order with their digests."""

    config: Mapping[str, Any]
    layers: tuple[tuple[str, Layer], ...]


def compare_images(first: Path, second: Path) -> list[Difference]:
    """Return all that differs between two images; nothing: the same content and digest.

    Raises:
        ValueError: one is neither an OCI folder nor an archive of `docker save`.
    """
    one, other = read_image(first), read_image(second)
    found = [
        Difference(layer=0, path=path, what="configuration")
        for path in sorted(config_differences(one.config, other.config))
    ]
    for number, (left, right) in enumerate(zip_longest(one.layers, other.layers), start=1):
        if left is None or right is None:
            side = "first" if right is None else "second"
            found.append(Difference(layer=number, path="", what=f"only in the {side}"))
        elif left[0] != right[0]:
            with ExitStack() as stack:
                found += [
                    Difference(layer=number, path=path, what=what)
                    for path, what in layer_differences(left[1](stack), right[1](stack))
                ]
    return found


def layer_differences(first: IO[bytes], second: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Yield path and kind of each difference; layers whose bytes differ always have one."""
    left, right = read_layer(first), read_layer(second)
    nothing = True
    for path in sorted(left.keys() | right.keys()):
        if what := entry_difference(left.get(path), right.get(path)):
            nothing = False
            yield path, what
    if nothing:
        yield "", "order of entries" if list(left) != list(right) else "form of the archive"


def entry_difference(left: Entry | None, right: Entry | None) -> str:
    """Return what differs between two entries of one path, or nothing."""
    if left is None or right is None:
        return f"only in the {'second' if left is None else 'first'}"
    names = [each.name for each in fields(Entry)]
    return ", ".join(name for name in names if getattr(left, name) != getattr(right, name))


def read_layer(archive: IO[bytes]) -> dict[str, Entry]:
    """Return the entries of a layer by path, in the order of the archive."""
    with tarfile.open(fileobj=archive, mode="r|*") as layer:
        return {member.name: _entry(layer, member) for member in layer}


def config_differences(left: Any, right: Any, path: str = "") -> Iterator[str]:
    """Yield the keys under which two configurations differ; the layers' digests do not count."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in left.keys() | right.keys():
            if key != "rootfs":
                yield from config_differences(left.get(key), right.get(key), f"{path}/{key}")
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from config_differences(one, other, f"{path}/{number}")
    elif left != right:
        yield path


def read_image(place: Path) -> Image:
    """Return an image of an OCI folder or an archive of `docker save`.

    Raises:
        ValueError: it is neither.
    """
    if (place / "index.json").is_file():
        return _read_oci_folder(place)
    try:
        with tarfile.open(place) as archive:
            (described,) = json.load(_member(archive, "manifest.json"))
            config = json.load(_member(archive, described["Config"]))
            names = described["Layers"]
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise ValueError(f"{place} is no image: neither OCI folder nor `docker save`") from error
    digests = config["rootfs"]["diff_ids"]
    layers = tuple(
        (digest, _in_archive(place, name)) for digest, name in zip(digests, names, strict=True)
    )
    return Image(config=config, layers=layers)


def _read_oci_folder(folder: Path) -> Image:
    def blob(digest: str) -> Path:
        return folder / "blobs" / digest.replace(":", "/")

    (listed,) = json.loads((folder / "index.json").read_text())["manifests"]
    manifest = json.loads(blob(listed["digest"]).read_text())
    config = json.loads(blob(manifest["config"]["digest"]).read_text())
    layers = tuple(
        (layer["digest"], _in_file(blob(layer["digest"]))) for layer in manifest["layers"]
    )
    return Image(config=config, layers=layers)


def _in_file(path: Path) -> Layer:
    return lambda stack: stack.enter_context(path.open("rb"))


def _in_archive(archive: Path, name: str) -> Layer:
    return lambda stack: _member(stack.enter_context(tarfile.open(archive)), name)


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    content = archive.extractfile(name)
    if content is None:
        raise ValueError(f"{name} is no file")
    return content


def _entry(layer: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    content = layer.extractfile(member) if member.isreg() else None
    digest = hashlib.sha256()
    while content is not None and (chunk := content.read(CHUNK_BYTES)):
        digest.update(chunk)
    return Entry(
        kind=KINDS.get(member.type, "other"),
        mode=member.mode,
        owner=f"{member.uid}:{member.gid}",
        mtime=member.mtime,
        target=member.linkname,
        size=member.size,
        sha256=digest.hexdigest() if content is not None else "",
        attributes=tuple(
            sorted(
                (name, value)
                for name, value in member.pax_headers.items()
                if name.startswith("SCHILY.xattr.")
            )
        ),
    )
