"""What is carried to a machine without a network, and what is left to measure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.gpu import run
from bench.gpu.items import ITEMS, PEAKS
from bench.gpu.wheels import names_in, requirements

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "locks/cu130.lock").read_text(encoding="utf-8")


def carried(have: str = "") -> set[str]:
    return names_in(requirements(LOCK, names_in(have)).replace(" \\", ""))


def test_the_training_stack_is_carried_without_torch_and_mlflow() -> None:
    """What training imports goes along; torch is the machine's own, MLflow is not wanted there."""
    names = carried()
    assert {"transformers", "trl", "peft", "bitsandbytes", "datasets", "pyarrow"} <= names
    assert not {"torch", "mlflow", "sqlalchemy", "docker", "triton"} & names
    assert not any(name.startswith("nvidia-c") for name in names)


def test_what_the_machine_has_stays_here() -> None:
    """Names are compared as pip normalises them."""
    assert "huggingface-hub" not in carried("huggingface_hub==1.0\nNumPy==2.0\n")
    assert "--hash=sha256:" in requirements(LOCK, set())


def test_a_failed_item_is_to_be_done_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results so far are read; a failure counts as not done."""
    done = tmp_path / "gpu.json"
    items = {"env_check": {"result": {}}, "attention": {"failed": "no card", "result": {}}}
    done.write_text(json.dumps({"schema_version": 1, "items": items}), encoding="utf-8")
    assert run.main(["--list", "--done", str(done)]) == 0
    states = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert states["env_check"] == "done" and states["attention"] == "to do"
    assert list(states) == list(ITEMS)


def test_nothing_is_begun_that_the_call_has_no_time_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An item whose expected minutes are not left waits for the next call."""
    out = tmp_path / "gpu.json"
    assert run.main(["--minutes", "0", "--out", str(out), "--folder", str(tmp_path / "work")]) == 0
    assert capsys.readouterr().out.count("left for the next call") == len(ITEMS)
    assert not out.exists()


def test_twenty_peaks_are_planned() -> None:
    """Peaks cover three sizes and every way of checkpointing."""
    assert len(PEAKS) == 20
    assert {checkpointing for *_, checkpointing in PEAKS} == {"off", "every_n", "full"}
