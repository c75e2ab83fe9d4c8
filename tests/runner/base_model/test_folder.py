"""Local model folders: whole ones, and every way they are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner import spec
from runner.base_model.source import ModelFolder, describe, fetch
from runner.errors import PlanError
from tests.runner.base_model import tiny


def refused(folder: Path | str) -> PlanError:
    """Return the error of describing a folder."""
    with pytest.raises(PlanError) as caught:
        describe_folder(folder)
    return caught.value


def describe_folder(folder: Path | str) -> ModelFolder:
    return describe(spec.Model(name_or_path=str(folder)))


def test_a_whole_folder_is_described(tmp_path: Path) -> None:
    """Folder, configuration and weights are found; there is no revision to name."""
    model = describe_folder(tiny.write_folder(tmp_path / "mine"))
    assert (model.public_name, model.revision, model.has_weights) == ("mine", None, True)
    assert model.folder == tmp_path / "mine"


@pytest.mark.parametrize(
    ("remembered", "public_name"),
    [
        ("org/base", "org/base"),
        ("/home/me/base", "mine"),
        ("./base", "mine"),
        ("a/b/c", "mine"),
        ("", "mine"),
        (None, "mine"),
        (3, "mine"),
    ],
)
def test_the_public_name_is_never_a_path(
    tmp_path: Path, remembered: object, public_name: str
) -> None:
    """A hub id the configuration remembers is taken, anything else gives the folder's name."""
    folder = tiny.write_folder(tmp_path / "mine", config={"_name_or_path": remembered})
    assert describe_folder(folder).public_name == public_name


def test_a_relative_folder_is_described_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`.` has a name too, and the folder is absolute."""
    monkeypatch.chdir(tiny.write_folder(tmp_path / "mine"))
    model = describe_folder(".")
    assert (model.public_name, model.folder) == ("mine", tmp_path / "mine")


def test_an_existing_folder_goes_before_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`models/tiny` has the form of a hub id; if it is a folder here, it is the folder."""
    tiny.write_folder(tmp_path / "models" / "tiny")
    monkeypatch.chdir(tmp_path)
    assert describe_folder("models/tiny").revision is None


def test_a_missing_folder_names_the_nearest_one(tmp_path: Path) -> None:
    """A misspelt path is answered with the folder that is there."""
    tiny.write_folder(tmp_path / "phi-4-mini")
    error = refused(tmp_path / "phi-4-mni")
    assert (error.id, "phi-4-mini" in error.fix) == ("model-folder-missing", True)


def test_a_file_is_not_a_model(tmp_path: Path) -> None:
    """A path to a weights file is answered with what a model is."""
    (tmp_path / "model.gguf").touch()
    assert refused(tmp_path / "model.gguf").id == "model-not-a-folder"


def test_an_adapter_is_not_a_base_model(tmp_path: Path) -> None:
    """The base model that the adapter names is in the fix."""
    adapter = {"base_model_name_or_path": "org/base"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter))
    error = refused(tmp_path)
    assert (error.id, "org/base" in error.fix) == ("model-is-adapter", True)


def test_a_folder_without_configuration_is_refused(tmp_path: Path) -> None:
    """An empty folder, or one with a GGUF file alone, has no architecture."""
    assert refused(tmp_path).id == "model-config-missing"
    (tmp_path / "a.gguf").touch()
    assert "GGUF" in refused(tmp_path).what


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"model_type": 3}', "\x00\xff"])
def test_a_broken_configuration_is_refused(tmp_path: Path, text: str) -> None:
    """Whatever is in config.json, the error names the file."""
    folder = tiny.write_folder(tmp_path / "mine")
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    assert str(refused(folder).where).startswith(str(folder / "config.json"))


@pytest.mark.parametrize("slow", [None, "tokenizer.model", "vocab.json"])
def test_a_folder_without_a_fast_tokenizer_is_refused(tmp_path: Path, slow: str | None) -> None:
    """Without tokenizer.json nothing can be proved; a slow tokenizer can be converted."""
    folder = tiny.write_folder(tmp_path / "mine")
    (folder / "tokenizer.json").unlink()
    if slow:
        (folder / slow).touch()
    error = refused(folder)
    assert error.id == "model-tokenizer-missing"
    assert ("save_pretrained" in error.fix) is (slow is not None)


def test_missing_shards_are_named(tmp_path: Path) -> None:
    """The index lists three files, two are absent: their names are in the error."""
    folder = tiny.write_folder(tmp_path / "mine")
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index = {"weight_map": {name: f"model-{name}.safetensors" for name in "123"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    error = refused(folder)
    assert error.what == (
        "2 of 3 weight files are missing: model-2.safetensors, model-3.safetensors"
    )


def test_an_index_without_weights_is_refused(tmp_path: Path) -> None:
    """An index that maps nothing is not read as a model without weights."""
    folder = tiny.write_folder(tmp_path / "mine")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"metadata": {}}')
    assert refused(folder).id == "model-index-invalid"


@pytest.mark.parametrize("num_bytes", [0, 4, 8, 20, -1])
def test_a_file_cut_off_is_found_by_its_header(tmp_path: Path, num_bytes: int) -> None:
    """A download that stopped half-way is found before anything is loaded."""
    folder = tiny.write_folder(tmp_path / "mine")
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:num_bytes])
    assert refused(folder).id == "model-weights-damaged"


def test_a_git_lfs_pointer_is_not_weights(tmp_path: Path) -> None:
    """A repository cloned without its large files is told how to get them."""
    folder = tiny.write_folder(tmp_path / "mine")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n"
    (folder / "model.safetensors").write_text(pointer)
    error = refused(folder)
    assert (error.id, "git lfs pull" in error.fix) == ("model-weights-pointer", True)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    """pytorch_model.bin alone is not read; the fix converts it."""
    folder = tiny.write_folder(tmp_path / "mine")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    error = refused(folder)
    assert (error.id, "save_pretrained" in error.fix) == ("model-weights-pickled", True)


def test_a_folder_without_weights_is_described_but_not_fetched(tmp_path: Path) -> None:
    """A plan needs no weights, training does."""
    folder = tiny.write_folder(tmp_path / "mine")
    (folder / "model.safetensors").unlink()
    assert not describe_folder(folder).has_weights
    with pytest.raises(PlanError, match="model-weights-absent"):
        fetch(spec.Model(name_or_path=str(folder)), say=print)


def test_a_whole_folder_is_fetched_as_it_is(tmp_path: Path) -> None:
    """Nothing is copied and nothing said."""
    folder = tiny.write_folder(tmp_path / "mine")
    said: list[str] = []
    assert fetch(spec.Model(name_or_path=str(folder)), say=said.append).folder == folder
    assert said == []
