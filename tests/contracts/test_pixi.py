"""pixi.toml: valid, and the same environment as the locks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import rattler
import tomllib

from bootstrap.lockfile import parse_lock

ROOT = Path(__file__).parents[2]
INPUTS = {
    "default": "run.in",
    "train": "train.in",
    "gpu": "cu130.in",
    "cpu": "cpu.in",
    "dev": "dev.in",
}


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pixi.toml").read_text())


def feature(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = manifest if name == "default" else manifest["feature"][name]
    return found


def test_manifest_follows_the_schema(manifest: dict[str, Any]) -> None:
    """pixi's own JSON Schema accepts the manifest, and refuses a misspelt section."""
    schema = json.loads((ROOT / "tests/fixtures/schemas/pixi.schema.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    assert [error.message for error in validator.iter_errors(manifest)] == []
    assert not validator.is_valid({**manifest, "enviroments": {}})


@pytest.mark.parametrize("name", INPUTS)
def test_versions_are_those_of_the_locks(manifest: dict[str, Any], name: str) -> None:
    """Each feature asks for the packages and versions of one lock input, no more and no less."""
    asked = feature(manifest, name)["pypi-dependencies"]
    pins = {
        pin.name: f"=={pin.version.removesuffix('+cpu')}"
        for pin in parse_lock((ROOT / "locks" / INPUTS[name]).read_text())
        if pin.marker != 'python_version < "3.11"'
    }
    assert {package: v for package, v in asked.items() if package != "trainbox"} == pins


def test_conda_requirements_and_platforms_are_read_by_rattler(manifest: dict[str, Any]) -> None:
    """pixi's solver library understands every conda requirement and platform named."""
    for package, version in manifest["dependencies"].items():
        assert rattler.MatchSpec(f"{package} {version}").name is not None
    platforms = [str(rattler.Subdir(name)) for name in manifest["workspace"]["platforms"]]
    assert platforms == ["linux-64", "linux-aarch64"]


def test_python_is_what_the_locks_are_made_for(manifest: dict[str, Any]) -> None:
    """Python 3.11 and 3.12 are accepted, their neighbours are not."""
    spec = rattler.VersionSpec(manifest["dependencies"]["python"])
    fits = [v for v in ("3.10", "3.11", "3.12.9", "3.13") if spec.matches(rattler.Version(v))]
    assert fits == ["3.11", "3.12.9"]


def test_environments_are_made_of_features_that_exist(manifest: dict[str, Any]) -> None:
    """gpu, cpu and dev are there, and every feature is used."""
    environments = manifest["environments"]
    assert set(environments) == {"gpu", "cpu", "dev"}
    used = {name for environment in environments.values() for name in environment["features"]}
    assert used == set(manifest["feature"])


def test_tasks_cover_the_first_day(manifest: dict[str, Any]) -> None:
    """Logging in, checking the machine, training and testing are tasks."""
    commands = {name: task["cmd"] for name, task in manifest["tasks"].items()}
    assert commands["login"] == "hf auth login"
    assert commands["check-env"] == "env-check"
    assert commands["train"] == "trainbox train {{ job }}"
    assert manifest["feature"]["dev"]["tasks"]["test"]["cmd"] == "pytest"
