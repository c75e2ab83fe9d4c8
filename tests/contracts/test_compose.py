"""compose.yaml: valid, closed to the outside, and the same server as the one without Docker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from runner.container.image import VARIANTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def mlflow(compose: dict[str, Any]) -> dict[str, Any]:
    (service,) = compose["services"].values()
    assert isinstance(service, dict)
    return service


def test_the_file_follows_the_schema(compose: dict[str, Any]) -> None:
    """Compose's own JSON Schema accepts the file, and refuses a misspelt key."""
    schema = json.loads((ROOT / "tests/fixtures/schemas/compose-spec.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    assert [error.message for error in validator.iter_errors(compose)] == []
    assert not validator.is_valid({**compose, "volums": {}})


def test_it_is_reached_from_this_machine_alone(mlflow: dict[str, Any]) -> None:
    """MLflow has no passwords: loopback port, and no host name but ours."""
    assert all(port.startswith("127.0.0.1:") for port in mlflow["ports"])
    assert "--allowed-hosts=mlflow:*,localhost:*,127.0.0.1:*" in mlflow["command"]
    assert "network_mode" not in mlflow


def test_it_has_no_rights(mlflow: dict[str, Any]) -> None:
    """As hard as a training container: read-only, no capability, nothing but its volume."""
    assert mlflow["read_only"] and mlflow["cap_drop"] == ["ALL"] and mlflow["init"]
    assert mlflow["security_opt"] == ["no-new-privileges:true"] and mlflow["pids_limit"]
    assert mlflow["volumes"] == ["data:/data"] and mlflow["tmpfs"] == ["/tmp"]
    assert not {"privileged", "user", "cap_add", "devices"} & set(mlflow)


def test_by_hand_it_is_built_as_by_trainbox(mlflow: dict[str, Any]) -> None:
    """`docker compose up` builds the stage, base and lock that `trainbox up` builds."""
    variant = VARIANTS["mlflow"]
    assert mlflow["build"]["target"] == variant.target
    assert mlflow["build"]["args"] == {
        "BASE_IMAGE": f"${{TRAINBOX_BASE_IMAGE:-{variant.base_image}}}",
        "PYTHON": f"${{TRAINBOX_BASE_PYTHON:-{variant.python}}}",
        "LOCK": variant.lock,
    }
    stages = (ROOT / "Dockerfile").read_text()
    assert f"\nFROM packages AS {variant.target}\n" in stages
