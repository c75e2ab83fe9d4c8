"""`trainbox check --job`: the job's wishes against this machine, with a hub on the loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from env_check.facts import Requirements, versioned
from runner.cli import main
from tests.runner.base_model.hub_stand_in import Hub, serve
from tests.runner.base_model.test_hub import SMALL
from tests.runner.base_model.tiny import safetensors_bytes

JOB = """\
version: 1
name: tiny
method: lora
model: {name_or_path: MODEL, dtype: float32}
data:
  train: [{path: train.jsonl}]
  max_length: 64
tracking: {mlflow: {uri: none}}
"""
WEIGHTS = safetensors_bytes()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty machine: caches of its own, a data file, no token."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("TRAINBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.jsonl").write_text('{"messages": []}\n')
    return tmp_path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve(Hub(files={**SMALL, "model.safetensors": WEIGHTS})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def write_job(folder: Path, model: str) -> str:
    (folder / "job.yaml").write_text(JOB.replace("MODEL", model))
    return str(folder / "job.yaml")


def wishes(capsys: pytest.CaptureFixture[str], *arguments: str) -> Requirements:
    assert main(["check", *arguments, "--print-requirements"]) == 0
    return versioned(json.loads(capsys.readouterr().out), Requirements)


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["check", *arguments, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, document


def ids(document: dict[str, Any]) -> list[str]:
    return [finding["id"] for finding in document["findings"]]


def test_the_wishes_say_what_is_still_to_be_had(
    hub: Hub, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sizes come from the hub's list of files; the weights are not downloaded for it."""
    wants = wishes(capsys, "--job", write_job(home, "org/tiny"))
    assert wants.needs_download and not wants.needs_token
    assert wants.download_bytes == wants.model_bytes == len(WEIGHTS)
    assert hub.downloads() == sorted(SMALL)


def test_another_machine_judges_the_printed_wishes(
    hub: Hub, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed is what `env-check --requirements` reads."""
    from env_check.cli import main as env_check

    main(["check", "--job", write_job(home, "org/tiny"), "--print-requirements"])
    (home / "wants.json").write_text(capsys.readouterr().out)
    env_check(["--requirements", str(home / "wants.json"), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["facts"]["requirements"]["model"] == "org/tiny"


def test_a_gated_model_without_a_token_is_named(
    hub: Hub, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hub refuses, and the finding says that a token is missing."""
    hub.refuse = (401, "GatedRepo")
    code, document = checked(capsys, "--job", write_job(home, "org/tiny"))
    assert code == 1
    assert ids(document)[0] == "NET908"


def test_a_hub_that_is_away_is_named_and_not_fatal(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The machine is still checked, and the hub is what stands in the way."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    code, document = checked(capsys, "--job", write_job(home, "org/tiny"))
    assert code == 1
    assert "NET901" in ids(document)


def test_a_model_the_hub_has_not_is_named(
    hub: Hub, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt name is a fault of the job that the check names with the hub's answer."""
    monkeypatch.setenv("HF_TOKEN", "hf_notARealTokenAtAll")
    code, document = checked(capsys, "--job", write_job(home, "org/tinny"))
    assert code == 1
    assert "NET910" in ids(document)


def test_a_local_model_asks_no_network(
    tiny_model: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder is all there: nothing to download, and it is called by its name, not its path."""
    wants = wishes(capsys, "--job", write_job(home, str(tiny_model)))
    assert not (wants.needs_download or wants.needs_hub or wants.download_bytes)
    assert wants.model_bytes > 0 and "/" not in wants.model
    _, document = checked(capsys, "--job", write_job(home, str(tiny_model)))
    assert not [each for each in ids(document) if each.startswith(("JOB", "NET"))]


def test_an_override_is_part_of_the_job(
    tiny_model: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--set` changes what is wanted, as it changes what would be trained."""
    job = write_job(home, str(tiny_model))
    wants = wishes(capsys, "--job", job, "--set", "model.dtype=float16")
    assert wants.dtype == "float16"


@pytest.mark.parametrize("option", ["--print-requirements", "--offline"])
def test_an_option_about_a_job_needs_one(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --job it is refused; a plain check would look like an answer."""
    assert main(["check", option]) == 2
    assert "--job" in capsys.readouterr().err


def test_a_wrong_job_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fault of the job file ends with 2 before anything is checked."""
    (home / "job.yaml").write_text("version: 1\n")
    assert main(["check", "--job", str(home / "job.yaml")]) == 2
    assert "where: " in capsys.readouterr().err


def test_the_order_of_options_does_not_matter(
    hub: Hub, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is ours is found behind an option of env-check, too, and that one still reaches it."""
    job = ["--job", write_job(home, "org/tiny"), "--set", "model.dtype=bfloat16"]
    assert wishes(capsys, "--facts", "none.json", *job).dtype == "bfloat16"
    assert main(["check", "--facts", "none.json", *job]) == 2
    assert "none.json: No such file or directory" in capsys.readouterr().err


def test_an_option_about_a_job_wants_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Behind an option of env-check as in front of it."""
    assert main(["check", "--json", "--set", "train.max_steps=3"]) == 2
    assert "add --job JOB" in capsys.readouterr().err
