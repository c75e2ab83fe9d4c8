"""Models of the hub, against a stand-in on the loopback and the real huggingface_hub."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import spec
from runner.base_model import hub as ours
from runner.base_model.source import describe, fetch, forget
from runner.errors import TrainboxError
from tests.runner.base_model import tiny
from tests.runner.base_model.hub_stand_in import COMMIT, Hub, serve

MODEL = spec.Model(name_or_path="org/tiny")
SMALL = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{ }",
    "chat_template.jinja": b"template",
}
UNWANTED = {
    "README.md": b"readme",
    "modeling_tiny.py": b"code",
    "original/consolidated.safetensors": b"other weights",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one model of one weights file, and files nobody needs."""
    weights = {"model.safetensors": tiny.safetensors_bytes(), "pytorch_model.bin": b"pickle"}
    with serve(Hub(files=SMALL | weights | UNWANTED)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def failure(model: spec.Model = MODEL, *, offline: bool = False) -> TrainboxError:
    with pytest.raises(TrainboxError) as caught:
        fetch(model, offline=offline, say=print)
    return caught.value


def test_describe_downloads_the_small_files_alone(hub: Hub) -> None:
    """Configuration, tokenizer and template come; weights, code and README do not."""
    model = describe(MODEL)
    assert hub.downloads() == sorted(SMALL)
    assert (model.public_name, model.revision, model.has_weights) == ("org/tiny", COMMIT, False)
    assert model.config == {"model_type": "llama"}


def test_fetch_brings_safetensors_and_no_pickle(hub: Hub, tmp_path: Path) -> None:
    """The weights come once, into the hub's own cache, at the resolved commit."""
    model = fetch(MODEL, say=print)
    assert model.has_weights
    assert hub.downloads() == sorted([*SMALL, "model.safetensors"])
    repository = tmp_path / "hf" / "hub" / "models--org--tiny"
    assert model.folder == repository / "snapshots" / COMMIT


def test_the_second_fetch_asks_nobody(hub: Hub) -> None:
    """What is there is used without a request, offline or not."""
    first = fetch(MODEL, say=print)
    hub.requests.clear()
    assert fetch(MODEL, say=print) == first == fetch(MODEL, offline=True, say=print)
    assert hub.requests == []


def test_describing_again_does_not_import_the_hubs_library(hub: Hub) -> None:
    """Once resolved, a plan costs no import of huggingface_hub."""
    describe(MODEL)
    code = (
        "import sys; from runner import spec; from runner.base_model.source import describe; "
        "describe(spec.Model(name_or_path='org/tiny')); "
        "sys.exit('huggingface_hub' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_branch_stays_where_it_was_resolved_until_forgotten(hub: Hub) -> None:
    """A model that moves on the hub does not change under a job; --refresh takes the new one."""
    describe(MODEL)
    hub.commit = COMMIT[::-1]
    assert describe(MODEL).revision == COMMIT
    forget(MODEL)
    assert describe(MODEL).revision == COMMIT[::-1]


def test_a_branch_name_is_resolved_to_its_commit(hub: Hub) -> None:
    """`revision: main` is recorded as the commit it means."""
    model = MODEL.model_copy(update={"revision": "main"})
    assert describe(model).revision == COMMIT


def test_code_is_downloaded_only_where_it_is_trusted(hub: Hub) -> None:
    """trust_remote_code brings the repository's Python files."""
    describe(MODEL.model_copy(update={"trust_remote_code": True}))
    assert "modeling_tiny.py" in hub.downloads()


def test_shards_are_taken_from_the_index(hub: Hub) -> None:
    """Every file the index names comes, and no other safetensors file."""
    shard = hub.files.pop("model.safetensors")
    hub.files |= {
        "model-1.safetensors": shard,
        "model-2.safetensors": tiny.safetensors_bytes(8),
        "extra.safetensors": b"extra",
    }
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    hub.files["model.safetensors.index.json"] = json.dumps(index).encode()
    assert not describe(MODEL).has_weights
    assert fetch(MODEL, say=print).has_weights
    downloads = [name for name in hub.downloads() if name.endswith(".safetensors")]
    assert downloads == ["model-1.safetensors", "model-2.safetensors"]


def test_weights_damaged_on_the_way_are_asked_for_again(hub: Hub) -> None:
    """Bytes whose hash is wrong are never trained on: one more download mends it."""
    true = hub.files["model.safetensors"]
    hub.sent_instead["model.safetensors"] = [true[:-1] + b"!"]
    said: list[str] = []
    model = fetch(MODEL, say=said.append)
    assert (model.folder / "model.safetensors").read_bytes() == true
    assert "damaged: model.safetensors" in said


def test_weights_that_stay_damaged_are_refused(hub: Hub) -> None:
    """Wrong twice is an error that names the file; the damaged bytes are removed."""
    true = hub.files["model.safetensors"]
    hub.sent_instead["model.safetensors"] = [true[:-1] + b"!"] * 2
    error = failure()
    assert (error.id, "model.safetensors" in error.what) == ("model-hash-mismatch", True)
    assert not describe(MODEL).has_weights


def test_a_file_cut_short_in_the_cache_is_downloaded_again(hub: Hub) -> None:
    """A cached file that lost its end is noticed by its size."""
    weights = fetch(MODEL, say=print).folder / "model.safetensors"
    weights.resolve().write_bytes(b"short")
    assert not describe(MODEL).has_weights
    assert fetch(MODEL, say=print).has_weights
    assert weights.read_bytes() == hub.files["model.safetensors"]


def test_the_hubs_own_cache_is_enough_offline(hub: Hub, cache: Path) -> None:
    """A cache filled by another program serves without our memory and without a network."""
    from huggingface_hub import snapshot_download

    snapshot_download("org/tiny", endpoint=hub.url, cache_dir=cache.parent / "hf" / "hub")
    hub.requests.clear()
    model = fetch(MODEL, offline=True, say=print)
    assert (model.revision, model.has_weights, hub.requests) == (COMMIT, True, [])


def test_a_hub_that_is_down_leaves_the_cache_usable(hub: Hub) -> None:
    """With the memory gone and the hub away, what the cache has is used."""
    folder = fetch(MODEL.model_copy(update={"revision": COMMIT}), say=print).folder
    forget(MODEL.model_copy(update={"revision": COMMIT}))
    hub.refuse = (503, "")
    model = MODEL.model_copy(update={"revision": COMMIT})
    assert fetch(model, say=print).folder == folder


@pytest.mark.parametrize(
    ("refuse", "error_id", "in_fix"),
    [
        ((404, "RepoNotFound"), "model-not-found", "hf auth login"),
        ((401, ""), "model-access-refused", "hf auth login"),
        ((403, "GatedRepo"), "model-gated", "https://huggingface.co/org/tiny"),
        ((403, ""), "model-access-refused", "hf auth login"),
        ((503, ""), "model-not-cached", "trainbox fetch"),
        ((429, ""), "model-not-cached", "trainbox fetch"),
    ],
)
def test_a_refusal_says_what_to_do(
    hub: Hub, refuse: tuple[int, str], error_id: str, in_fix: str
) -> None:
    """Each way the hub says no has its own error, with one step that helps."""
    hub.refuse = refuse
    error = failure()
    assert (error.id, in_fix in error.fix) == (error_id, True)


@pytest.mark.parametrize(
    ("refuse", "error_id", "in_what"),
    [
        ((401, ""), "model-token-refused", "does not accept your token"),
        ((401, "GatedRepo"), "model-gated", "no token was sent"),
        ((403, "GatedRepo"), "model-gated", "has not been given access"),
        ((403, ""), "model-access-refused", "status 403"),
    ],
)
def test_a_token_that_does_not_help_is_told_from_none(
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    refuse: tuple[int, str],
    error_id: str,
    in_what: str,
) -> None:
    """Expired, without access, made for something else, or not there: each needs another step."""
    monkeypatch.setenv("HF_TOKEN", "hf_geheim")
    hub.refuse, hub.message = refuse, "Invalid credentials in Authorization header"
    error = failure()
    assert (error.id, in_what in error.what) == (error_id, True)
    assert "geheim" not in error.render()


def test_a_connection_that_breaks_once_is_taken_up_again(hub: Hub) -> None:
    """Half a file is not a file: the rest is asked for, and the hash is right."""
    hub.cut = {"model.safetensors": 1}
    model = fetch(MODEL, say=print)
    assert (model.folder / "model.safetensors").read_bytes() == tiny.safetensors_bytes()


def test_a_connection_that_keeps_breaking_is_said(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download that never ends is an error that says so, and leaves nothing half in place."""
    hub.cut = {"model.safetensors": 1000}
    error = failure()
    assert (error.id, "the connection broke" in error.what) == ("model-not-cached", True)
    hub.cut = {}
    assert fetch(MODEL, say=print).has_weights


def test_an_unknown_revision_is_named(hub: Hub) -> None:
    """A branch or commit that does not exist is shown with the model's name."""
    error = failure(MODEL.model_copy(update={"revision": "v9"}))
    assert error.id == "model-revision-not-found"
    assert "`v9`" in error.what


def test_no_network_is_said_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that refuses connections: no traceback, no long wait."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    assert failure().id == "model-not-cached"
    assert time.monotonic() - start < 60


def test_a_hub_that_never_answers_is_given_up(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that hangs ends after the time limit."""
    monkeypatch.setattr(ours, "REQUEST_TIMEOUT_SECONDS", 0.3)
    hub.silent_seconds = 600
    assert failure().id == "model-not-cached"
    assert not hub.stop.is_set()


@pytest.mark.parametrize("page", [b"<html>log in</html>", b"{}", b"[]", b""])
def test_something_else_than_a_hub_is_not_a_traceback(hub: Hub, page: bytes) -> None:
    """A login page of the network answers every address with 200 and something else."""
    hub.refuse, hub.page = (200, ""), page
    assert failure().id == "model-not-cached"


def test_offline_never_asks(hub: Hub) -> None:
    """--offline with an empty cache is refused without a request."""
    assert failure(offline=True).id == "model-not-cached"
    assert hub.requests == []


def test_the_token_is_sent_and_never_shown(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_TOKEN reaches the hub; no error repeats it."""
    monkeypatch.setenv("HF_TOKEN", "hf_geheim")
    hub.refuse = (403, "")
    assert "geheim" not in failure().render()
    assert hub.authorizations == {"Bearer hf_geheim"}


@pytest.mark.parametrize(
    ("files", "error_id"),
    [
        ({"adapter_config.json": b"{}"}, "model-is-adapter"),
        ({"model.gguf": b"x"}, "model-config-missing"),
        (SMALL | {"tokenizer.json": None}, "model-tokenizer-missing"),
        (SMALL | {"pytorch_model.bin": b"x"}, "model-weights-pickled"),
        (SMALL, "model-weights-absent"),
    ],
)
def test_a_repository_that_is_no_model_is_refused(
    hub: Hub, files: dict[str, bytes | None], error_id: str
) -> None:
    """Adapters, GGUF files, slow tokenizers and pickles are told apart."""
    hub.files = {name: data for name, data in files.items() if data is not None}
    assert failure().id == error_id


def test_a_disk_too_small_is_said_before_the_download(hub: Hub) -> None:
    """The listing's sizes are added up first; nothing is downloaded."""
    describe(MODEL)
    memory = ours._memory(MODEL)
    text = memory.read_text().replace(f": {len(tiny.safetensors_bytes())}", f": {2**60}")
    memory.write_text(text)
    assert failure().id == "cache-disk-full"
    assert "model.safetensors" not in hub.downloads()
