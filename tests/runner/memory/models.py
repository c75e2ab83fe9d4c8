"""Where the tests of the memory estimate find configurations and measured runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runner.errors import PlanError
from runner.memory.architecture import Architecture, read_architecture
from runner.memory.points_file import Row, read_rows

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "tests" / "fixtures" / "memory"
CONFIGS = FIXTURES / "configs"
SHARED = ROOT.parent / "shared"  # more of the same, where this checkout has it
SHARED_CONFIGS = SHARED / "model_configs"


def config_files() -> list[Path]:
    """Return every config.json there is to test with, the shared ones where they are."""
    folder = SHARED_CONFIGS if SHARED_CONFIGS.is_dir() else CONFIGS
    return sorted(folder.glob("*/config.json"))


def config(name: str) -> dict[str, Any]:
    """Return a parsed config.json of the fixtures."""
    raw = json.loads((CONFIGS / name / "config.json").read_text(encoding="utf-8"))
    assert isinstance(raw, dict)
    return raw


def architecture(name: str) -> Architecture:
    """Return an architecture of the fixtures."""
    return read_architecture(config(name))


def measured_rows(file: Path) -> list[Row]:
    """Return the rows of a file of measured runs, all of which can be read."""
    rows = list(read_rows(file))
    assert not any(isinstance(row, PlanError) for row in rows)
    return [row for row in rows if isinstance(row, Row)]
