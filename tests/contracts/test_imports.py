"""Imports point one way, and the light commands stay light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAINING_STACK = {"torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes"}
HEAVY = TRAINING_STACK | {"mlflow", "datasets", "pyarrow", "pandas", "docker"}


def modules() -> list[Path]:
    return sorted([*ROOT.glob("runner/**/*.py"), *ROOT.glob("env_check/**/*.py")])


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Return the full names a module imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_nobody_imports_upwards(path: Path) -> None:
    """A layer imports the layers below it and no other (docs/architecture.md)."""
    name, imported = name_of(path), imports_of(path)
    ours = {module for module in imported if module.split(".")[0] in ("runner", "env_check")}
    forbidden: dict[str, tuple[str, ...]] = {
        "env_check": ("runner",),
        "runner.record": (
            "runner.commands", "runner.backends", "runner.supervise", "runner.train",
            "runner.resolve", "runner.execute", "runner.cli", "runner.data",
        ),
        "runner.data": (
            "runner.commands", "runner.backends", "runner.plan_", "runner.supervise",
            "runner.resolve", "runner.execute", "runner.cli",
        ),
        "runner.train": (
            "runner.commands", "runner.backends", "runner.supervise", "runner.resolve",
            "runner.execute", "runner.cli", "runner.load", "env_check",
        ),
        "runner.backends": ("runner.commands", "runner.supervise", "runner.cli"),
        "runner.supervise": ("runner.commands", "runner.cli", "runner.resolve", "runner.execute"),
        "runner.spec": ("runner.load", "runner.plan", "runner.commands", "runner.record"),
        "runner.errors": ("runner.",),
    }  # fmt: skip
    for layer, not_below in forbidden.items():
        if name == layer or name.startswith(layer + "."):
            wrong = {module for module in ours if module.startswith(not_below)}
            assert not wrong, f"{name} imports {wrong}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_only_the_training_process_imports_the_training_stack(path: Path) -> None:
    """torch and its family are imported below runner/train and nowhere else."""
    if name_of(path).startswith("runner.train"):
        return
    roots = {module.split(".")[0] for module in imports_of(path)}
    assert not roots & TRAINING_STACK
    assert not {m for m in imports_of(path) if m == "runner.train" or m.startswith("runner.train.")}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_env_check_stands_on_the_standard_library_alone(path: Path) -> None:
    """env_check runs on a bare host, before anything is installed."""
    if not name_of(path).startswith("env_check"):
        return
    roots = {module.split(".")[0] for module in imports_of(path)} - {"env_check"}
    assert roots <= set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["train", "--help"], ["runs"], ["plan", "jobs/demo.yaml", "--no-data"]],
)
def test_light_commands_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    """What a person types while thinking answers without loading a framework."""
    code = (
        "import json, sys; from runner.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = {name.split(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    assert not loaded & HEAVY
