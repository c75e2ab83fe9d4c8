"""Two images are compared file by file: small archives, as buildah and docker write them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.container.repro_compare import Difference, compare_images

Change = Callable[[tarfile.TarInfo], object]
CONFIG = {
    "created": "2026-01-01T00:00:00Z",
    "config": {"Labels": {"a": "1"}, "Env": ["A=1", "B=2"]},
}


def layer(
    change: Change = lambda member: None,
    names: tuple[str, ...] = ("a", "b"),
    content: bytes = b"same",
    format: int = tarfile.GNU_FORMAT,
) -> bytes:
    """Return a layer of a folder, a link and files; each entry goes through `change`."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=format) as archive:
        for name in names:
            member = tarfile.TarInfo(f"opt/{name}")
            member.size, member.mtime = len(content), 1
            change(member)
            archive.addfile(member, io.BytesIO(content))
        for name, kind in (("opt/link", tarfile.SYMTYPE), ("opt", tarfile.DIRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "a" if kind == tarfile.SYMTYPE else ""
            archive.addfile(member)
    return written.getvalue()


def oci(folder: Path, *layers: bytes, config: dict[str, Any] = CONFIG) -> Path:
    """Write an image as `buildah push oci:` does: blobs by digest, layers compressed."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    compressed = [put(gzip.compress(each, mtime=0)) for each in layers]
    whole = {
        **config,
        "rootfs": {"diff_ids": [hashlib.sha256(each).hexdigest() for each in layers]},
    }
    manifest = {"config": put(json.dumps(whole).encode()), "layers": compressed}
    index = {"manifests": [put(json.dumps(manifest).encode())]}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def saved(path: Path, *layers: bytes, config: dict[str, Any] = CONFIG) -> Path:
    """Write an image as `docker save` does."""
    digests = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]
    files = {f"{number}/layer.tar": each for number, each in enumerate(layers)}
    described = [{"Config": "c.json", "Layers": list(files)}]
    files["c.json"] = json.dumps({**config, "rootfs": {"diff_ids": digests}}).encode()
    files["manifest.json"] = json.dumps(described).encode()
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("write", [oci, saved])
def test_the_same_bytes_are_no_difference(write: Callable[..., Path], tmp_path: Path) -> None:
    """Two images of the same layers and configuration differ in nothing."""
    images = [write(tmp_path / name, layer(), layer(names=("c",))) for name in ("1", "2")]
    assert compare_images(*images) == []


@pytest.mark.parametrize(
    ("other", "path", "what"),
    [
        (layer(content=b"SAME"), "opt/a", "sha256"),
        (layer(content=b"longer"), "opt/b", "size, sha256"),
        (layer(lambda m: setattr(m, "mtime", 2)), "opt/a", "mtime"),
        (layer(lambda m: setattr(m, "mode", 0o755)), "opt/a", "mode"),
        (layer(lambda m: setattr(m, "uid", 7)), "opt/a", "owner"),
        (layer(lambda m: m.name == "opt/b" and setattr(m, "name", "opt/c")), "opt/b",
         "only in the first"),
        (layer(lambda m: m.name == "opt/b" and setattr(m, "name", "opt/c")), "opt/c",
         "only in the second"),
        (layer(names=("b", "a")), "", "order of entries"),
        (layer(format=tarfile.USTAR_FORMAT), "", "form of the archive"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("write", [oci, saved])
def test_each_difference_is_named(
    write: Callable[..., Path], other: bytes, path: str, what: str, tmp_path: Path
) -> None:
    """Content, time, mode, owner, presence and order: the file and what differs are said."""
    base = layer(names=("base",))
    found = compare_images(write(tmp_path / "1", base, layer()), write(tmp_path / "2", base, other))
    assert Difference(layer=2, path=path, what=what) in found
    assert {each.layer for each in found} == {2}


def test_a_link_to_another_place_and_an_attribute_are_differences(tmp_path: Path) -> None:
    """The target of a link and an extended attribute, such as a capability, count."""

    def linked(target: str, attribute: str) -> bytes:
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
            member = tarfile.TarInfo("l")
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
            member = tarfile.TarInfo("ping")
            member.pax_headers = {"SCHILY.xattr.security.capability": attribute}
            archive.addfile(member)
        return written.getvalue()

    found = compare_images(
        oci(tmp_path / "1", linked("a", "x")), oci(tmp_path / "2", linked("b", "y"))
    )
    assert [(each.path, each.what) for each in found] == [("l", "target"), ("ping", "attributes")]


def test_the_configuration_is_compared_key_by_key(tmp_path: Path) -> None:
    """Another time of creation, another label, a variable more: each is named by its key."""
    config = {"created": "2026-01-02T00:00:00Z", "config": {"Labels": {"a": "2"}, "Env": ["A=1"]}}
    found = compare_images(
        oci(tmp_path / "1", layer()), oci(tmp_path / "2", layer(), config=config)
    )
    assert [each.path for each in found] == ["/config/Env", "/config/Labels/a", "/created"]
    assert {each.layer for each in found} == {0}


def test_a_layer_more_is_a_difference(tmp_path: Path) -> None:
    """Where one image has a layer that the other lacks, it is said which."""
    (found,) = compare_images(oci(tmp_path / "1", layer()), oci(tmp_path / "2", layer(), layer()))
    assert found == Difference(layer=2, path="", what="only in the second")


def test_another_file_is_no_image(tmp_path: Path) -> None:
    """Neither form: the error names the file."""
    (tmp_path / "x.tar").write_text("no archive")
    with pytest.raises(ValueError, match=r"x\.tar is no image"):
        compare_images(tmp_path / "x.tar", tmp_path / "x.tar")
