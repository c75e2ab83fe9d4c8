"""The double build: where its base comes from, how buildah is called, what its end means."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from runner.container.image import CUDA_13_0, SOURCE_ROOT, VARIANTS, image_tag
from runner.container.repro import EPOCH, Proof, Work, base_sources, build_options, build_twice
from runner.container.repro_compare import Difference
from runner.errors import BackendError

# What buildah does of what the double build asks, with an image of one file that says `CONTENT`.
BUILDAH = """#!/usr/bin/env python3
import hashlib, json, os, pathlib, sys, tarfile, io
words = [each for each in sys.argv[1:] if not each.startswith(("--root", "--runroot"))]
log = pathlib.Path(os.environ["CALLS"])
log.open("a").write(json.dumps([*words, os.environ.get("TMPDIR")]) + "\\n")
if words == ["--version"]:
    print("buildah version 0.0")
elif words[0] == "pull":
    if "docker-daemon" in words[-1]:
        sys.exit("Error: no such image")
    print("0123abc")
elif words[0] == "build":
    if os.environ.get("BREAKS"):
        sys.exit("Error: no space left on device")
elif words[0] == "push":
    folder = pathlib.Path(words[-1].split(":")[1])
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    def put(content):
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"digest": "sha256:" + digest}
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        member = tarfile.TarInfo("opt/file")
        content = os.environ["CONTENT"].replace("NUMBER", words[-2]).encode()
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    config = put(json.dumps({"rootfs": {}}).encode())
    manifest = put(json.dumps({"config": config, "layers": [put(written.getvalue())]}).encode())
    (folder / "index.json").write_text(json.dumps({"manifests": [manifest]}))
    digest = next(each for each in words if each.startswith("--digestfile="))
    pathlib.Path(digest.partition("=")[2]).write_text(manifest["digest"])
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `buildah` that writes down how it is called; a cache of the test's own."""
    program = tmp_path / "bin/buildah"
    program.parent.mkdir()
    program.write_text(BUILDAH)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("TRAINBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("CONTENT", "the same")
    return tmp_path / "calls"


def prove() -> Proof:
    return build_twice(VARIANTS["cu130"], say=lambda line: None)


def test_two_equal_builds_hold_and_nothing_stays_behind(calls: Path, tmp_path: Path) -> None:
    """Storage, caches and both images lie in one folder, which is gone afterwards."""
    proof = prove()
    assert proof.holds and proof.digests[0] == proof.digests[1] and not proof.differences
    assert proof.base == CUDA_13_0 and proof.tool == "buildah version 0.0"
    (left,) = (tmp_path / "cache/images").iterdir()
    assert left.name == "repro-cu130.log"


def test_two_unequal_builds_do_not_hold_and_the_file_is_named(
    calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that differs from build to build breaks the promise, by name."""
    monkeypatch.setenv("CONTENT", "of build NUMBER")
    proof = prove()
    assert not proof.holds
    assert proof.differences == (Difference(layer=1, path="opt/file", what="sha256"),)


def test_the_build_has_one_time_no_cache_and_the_published_base(calls: Path) -> None:
    """Each build is told the time, starts anew, and stands on the base's digest."""
    prove()
    told = calls.read_text()
    digest = CUDA_13_0.partition("@")[2]
    assert f"docker://docker.io/nvidia/cuda@{digest}" in told
    assert told.count('"--no-cache"') == 2 and told.count(f'"--timestamp={EPOCH}"') == 2
    assert "--build-arg=BASE_IMAGE=0123abc" in told
    assert f"base.name={CUDA_13_0}" in told, "the label keeps the name of the base"


def test_the_dockerfile_has_the_same_time(calls: Path) -> None:
    """A build without the argument, such as Docker's, sets the same time where it can."""
    assert f"ARG SOURCE_DATE_EPOCH={EPOCH}\n" in (SOURCE_ROOT / "Dockerfile").read_text()
    assert f"--build-arg=SOURCE_DATE_EPOCH={EPOCH}" in build_options(1)


def test_both_builds_are_of_one_state(tmp_path: Path) -> None:
    """What the image is made from is copied first, and is the same image by its tag."""
    work = Work(buildah="buildah", folder=tmp_path, log=tmp_path / "log")
    kept = work.keep_state(VARIANTS["cpu"], SOURCE_ROOT)
    assert not (kept / "tests").exists() and (kept / "wheelhouse").is_dir()
    assert image_tag(VARIANTS["cpu"], kept) == image_tag(VARIANTS["cpu"], SOURCE_ROOT)


@pytest.mark.parametrize(
    ("base", "sources"),
    [
        ("a/b:1@sha256:00", ["docker://docker.io/a/b@sha256:00"]),
        ("b@sha256:00", ["docker://docker.io/library/b@sha256:00"]),
        ("trainbox-base:x",
         ["docker-daemon:trainbox-base:x", "docker://docker.io/library/trainbox-base:x"]),
        ("ubuntu", ["docker-daemon:ubuntu:latest", "docker://docker.io/library/ubuntu"]),
        ("registry.example:5000/a/b:1",
         ["docker-daemon:registry.example:5000/a/b:1", "docker://registry.example:5000/a/b:1"]),
        ("localhost/a@sha256:00", ["docker://localhost/a@sha256:00"]),
    ],
)  # fmt: skip
def test_a_base_is_sought_as_docker_would(base: str, sources: list[str]) -> None:
    """By digest from its registry; by name from the engine first, then from Docker Hub."""
    assert base_sources(base) == sources


def test_a_failed_build_says_why_and_leaves_nothing(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is named as in every other build."""
    monkeypatch.setenv("BREAKS", "1")
    with pytest.raises(BackendError) as caught:
        prove()
    assert caught.value.id == "image-disk-full"
    assert [each.name for each in (tmp_path / "cache/images").iterdir()] == ["repro-cu130.log"]


def test_without_buildah_the_fix_is_its_package(
    calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tool is named, and where it comes from."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BackendError, match="apt-get install buildah") as caught:
        prove()
    assert caught.value.id == "repro-no-buildah"
