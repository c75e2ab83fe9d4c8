"""Images on their way: built from a small clone, pushed to a real registry, verified, used.

The Dockerfile, the code and the engine are the real ones; the lock is tiny, so that the layer of
the wheels is. What is asserted of layers holds for any lock.
"""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bootstrap.errors import SetupError
from bootstrap.wheelhouse import check, fill
from runner.backends.docker import DockerBackend
from runner.container.build import build_image
from runner.container.engine import connect, find_builder
from runner.container.image import choose_variant
from runner.container.push import Pushed, push_image
from runner.container.release import release_tag
from runner.container.verify import verify_image
from runner.errors import BackendError, Faults
from runner.plan import read_plan
from tests.integration.local_registry import LocalRegistry, run_registry
from tests.integration.small_clone import commit, make_small_clone
from tests.tiny import tiny_run

pytestmark = pytest.mark.docker
CPU = choose_variant("cpu")
TOKEN = "hf_" + "PlantedTokenPlantedTokenPlanted04"
MOST_SENT_BYTES = 5e6  # by a push after a change of our code
TAMPERED = f"trainbox-tampered-{os.getpid()}"
TAMPER = """\
FROM {image}
USER root
RUN echo 'evil = 1' >> /opt/venv/lib/python{python}/site-packages/torch/__init__.py
LABEL trainbox.driver=470
USER trainbox
"""


def say(line: str) -> None:
    print(line)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_clone(tmp_path_factory.mktemp("small") / "clone", CPU.python)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    with run_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="module")
def remove() -> Iterator[Callable[[str], None]]:
    """Remember images that are to be removed at the end."""
    names: set[str] = set()
    yield names.add
    with connect() as client:
        for name in names:
            client.remove_image(name, force=True)


@pytest.fixture(scope="module")
def push(
    clone: Path, registry: LocalRegistry, remove: Callable[[str], None]
) -> Callable[[], Pushed]:
    """Push the clone's image as it is now."""

    def push() -> Pushed:
        pushed = push_image(CPU, f"{registry.address}/team/trainbox", say=say, root=clone)
        remove(pushed.image_id)
        return pushed

    return push


@pytest.fixture(scope="module")
def first(push: Callable[[], Pushed]) -> Pushed:
    """The first push, of an image that was built while tokens were in the builder's settings."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("PIP_TRUSTED_HOST", f"{TOKEN}.example")
        return push()


def test_what_was_pushed_is_what_the_registry_holds(
    first: Pushed, registry: LocalRegistry, clone: Path
) -> None:
    """The tag says version, variant and commit; every layer was read back; bytes are counted."""
    assert first.reference.endswith(f":{release_tag(CPU, clone)}")
    assert first.num_read_back == first.num_layers > 5
    assert first.sent_bytes == registry.stored_bytes() > MOST_SENT_BYTES


def test_the_same_push_again_sends_nothing(first: Pushed, push: Callable[[], Pushed]) -> None:
    """The tag is there with this image: compared, and left as it is."""
    again = push()
    assert (again.digest, again.sent_bytes) == (first.digest, 0)


def test_a_tag_of_another_image_is_not_overwritten(
    first: Pushed, clone: Path, registry: LocalRegistry
) -> None:
    """A tag that holds something else stays what it is."""
    taken = f"{registry.address}/team/taken"
    with connect() as client:
        client.tag(CPU.base_image, taken, release_tag(CPU, clone))
        for _ in client.push(taken, release_tag(CPU, clone), stream=True):
            pass
        client.remove_image(f"{taken}:{release_tag(CPU, clone)}")
    with pytest.raises(BackendError, match="registry-tag-taken"):
        push_image(CPU, taken, say=say, root=clone)


def test_no_layer_at_the_registry_holds_a_token_of_the_builder(
    first: Pushed, registry: LocalRegistry
) -> None:
    """Neither a variable nor pip's settings: in no layer, configuration or manifest."""
    for blob in registry.blobs():
        content = blob.read_bytes()
        assert TOKEN.encode() not in content
        if content[:2] == b"\x1f\x8b":
            assert TOKEN.encode() not in gzip.decompress(content), blob


def test_an_image_that_is_what_it_says_is_proved_so(first: Pushed, clone: Path) -> None:
    """By its digest at the registry: proof, files, and code of the very clone."""
    verified = verify_image(first.pinned, say=say, root=clone)
    assert (verified.image_id, verified.digest) == (first.image_id, first.digest)
    assert verified.is_of_this_clone and verified.num_files > 500
    assert verified.measured == {"torch": "0.1+cpu", "cuda": None}


def test_a_tampered_image_is_named_for_what_was_done_to_it(
    first: Pushed, clone: Path, remove: Callable[[str], None]
) -> None:
    """A changed file, a wrong label, and the layers on top."""
    text = TAMPER.format(image=first.reference, python=CPU.python)
    build = [*find_builder(), "build", "--quiet", "--tag", TAMPERED, "-"]
    subprocess.run(build, input=text, text=True, check=True, env=buildkit())
    remove(TAMPERED)
    with pytest.raises(Faults) as caught:
        verify_image(TAMPERED, say=say, root=clone)
    faults = {fault.id: fault.what for fault in caught.value.faults}
    assert "torch/__init__.py" in faults["image-file-changed"]
    assert "trainbox.driver" in faults["image-label-wrong"]
    assert "evil" in faults["image-layer-added"]


def test_an_image_of_somebody_else_is_foreign(clone: Path) -> None:
    """The base has none of our labels; it is not started."""
    with pytest.raises(BackendError, match="image-foreign"):
        verify_image(CPU.base_image, say=say, root=clone)


def test_a_run_in_a_named_image_records_its_digest(
    first: Pushed, tiny_model: Path, tmp_path: Path
) -> None:
    """`--image` is pulled where it is not here; the record holds its id and digest."""
    with connect() as client:
        client.remove_image(first.image_id, force=True)
    backend = DockerBackend(first.reference)
    backend.prepare(read_plan(tiny_run(tmp_path / "r", tiny_model).plan), say=say)
    recorded = backend.surroundings()
    image = recorded["image"]
    assert (image["image_id"], image["digest"]) == (first.image_id, first.digest)
    assert recorded["versions"]["torch"] == "0.1+cpu", "of the lock inside, not of this clone"


def test_a_change_of_one_line_sends_less_than_five_megabytes(
    first: Pushed, push: Callable[[], Pushed], clone: Path, registry: LocalRegistry
) -> None:
    """Only the layers of our code are new, counted at the registry."""
    before = registry.stored_bytes()
    with (clone / "runner/cli.py").open("a") as file:
        file.write("# one line\n")
    with pytest.raises(BackendError, match="image-not-committed"):
        push()
    commit(clone)
    second = push()
    assert second.digest != first.digest and second.num_read_back < 4
    assert second.sent_bytes == registry.stored_bytes() - before < MOST_SENT_BYTES


def test_without_a_network_an_image_is_built_from_the_wheelhouse(
    clone: Path, remove: Callable[[str], None]
) -> None:
    """`--network none`; what is missing is named before the build, and by the build itself."""
    with pytest.raises(SetupError, match=r"wheelhouse-incomplete.*setuptools"):
        check(clone, "cpu", say=say)
    with pytest.raises(BackendError, match=r"image-no-package.*setuptools"):
        build_image(CPU, say=say, root=clone, offline=True)
    fill(clone, "cpu", say=say)
    tag = build_image(CPU, say=say, root=clone, offline=True)
    remove(tag)
    with connect() as client:
        history = client.history(tag)  # type: ignore[no-untyped-call]
    assert max(layer["Size"] for layer in history if "pip install" in layer["CreatedBy"]) < 30e6


def buildkit() -> dict[str, str]:
    return {**os.environ, "DOCKER_BUILDKIT": "1"}
