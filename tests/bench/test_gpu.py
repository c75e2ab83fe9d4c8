"""What is carried to a machine without a network, and what is left to measure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import throughput
from bench.gpu import run
from bench.gpu.items import ITEMS, PEAKS, VARIANTS, Item, Place
from bench.gpu.report import merged
from bench.gpu.wheels import requirements, versions_in

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "locks/cu130.lock").read_text(encoding="utf-8")


def carried(have: str = "") -> set[str]:
    return set(versions_in(requirements(LOCK, versions_in(have))))


def test_the_training_stack_is_carried_without_torch_and_mlflow() -> None:
    """What training imports goes along; torch is the machine's own, MLflow is not wanted there."""
    names = carried()
    assert {"transformers", "trl", "peft", "bitsandbytes", "datasets", "pyarrow"} <= names
    assert not {"torch", "mlflow", "sqlalchemy", "docker", "triton"} & names
    assert not any(name.startswith("nvidia-c") for name in names)


def test_what_the_machine_has_stays_here() -> None:
    """Names are compared as pip normalises them."""
    assert "huggingface-hub" not in carried("huggingface_hub==1.0\nNumPy==2.0\n")
    assert "--hash=sha256:" in requirements(LOCK, {})


def test_the_stack_is_the_locks_own() -> None:
    """Speed and memory hang on the training stack: another version there does not do."""
    locked = versions_in(requirements(LOCK, {}))["transformers"].split()[0]
    assert "transformers" in carried("transformers==5.0.0\n")
    assert "transformers" not in carried(f"transformers=={locked}\n")


def test_a_failed_item_is_to_be_done_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results so far are read; a failure counts as not done."""
    done = tmp_path / "gpu.json"
    items = {"env_check": {"result": {}}, "attention": {"failed": "no card", "result": {}}}
    done.write_text(json.dumps({"schema_version": 1, "items": items}), encoding="utf-8")
    assert run.main(["--list", "--done", str(done)]) == 0
    lines = capsys.readouterr().out.splitlines()
    states = {line[:50].strip(): line[50:].strip() for line in lines}
    assert states["env_check"] == "done" and states["attention"] == "to do"
    assert list(states) == list(ITEMS)


def test_what_failed_waits_until_the_rest_was_tried() -> None:
    """An item that fails at every call keeps none of the others from its turn."""
    state = {"items": {"b": {"failed": "no card"}, "c": {"result": {}}}}
    assert run._in_order(["a", "b", "c"], state) == ["a", "c", "b"]


def test_an_item_is_ended_at_its_limit(tmp_path: Path) -> None:
    """It counts as failed, and the call goes on."""
    place = Place(folder=tmp_path, is_tiny=True)
    found = run._measured("env_check", place, limit_seconds=0.01)
    assert found["failed"] == "ended after 0 s" and "result" not in found


def test_what_an_item_had_before_it_failed_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several peaks one may fail: the item is to be done again, the others are on record."""
    parts = {"peaks": {"a": 1}, "failed": {"b": "out of memory"}}
    monkeypatch.setitem(run.ITEMS, "env_check", Item(measure=lambda place: parts, minutes=1))
    run._measure("env_check", Place(folder=tmp_path, is_tiny=True), tmp_path / "item.json")
    found = json.loads((tmp_path / "item.json").read_text(encoding="utf-8"))
    assert found == {"failed": {"b": "out of memory"}, "result": {"peaks": {"a": 1}}}


def test_rounds_of_a_model_are_one_result() -> None:
    """Each round is an item of its own; the chart draws them together, failed ones left out."""
    items = {
        "8B, trainbox, round 1": {"result": {"date": "d", "rounds": {"trainbox": [1]}}},
        "8B, trainbox, round 2": {"result": {"date": "d", "rounds": {"trainbox": [2]}}},
        "8B, with compile, round 1": {"failed": "ended after 120 s"},
        "3.8B, trainbox, round 1": {"result": {"date": "d", "rounds": {"trainbox": [3]}}},
    }
    assert merged(items, "8B") == {"date": "d", "rounds": {"trainbox": [1, 2]}}
    assert merged(items, "70B") is None


def test_nothing_is_begun_that_the_call_has_no_time_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An item whose expected minutes are not left waits for the next call."""
    out = tmp_path / "gpu.json"
    assert run.main(["--minutes", "0", "--out", str(out), "--folder", str(tmp_path / "work")]) == 0
    assert capsys.readouterr().out.count("left for the next call") == len(ITEMS)
    assert not out.exists()


def test_every_variant_of_a_card_is_one_the_benchmark_knows() -> None:
    """The items name variants of `bench.throughput`, which would run nothing for another name."""
    known = throughput._variants(throughput._arguments([]), on_card=True)
    assert set(VARIANTS) <= set(known)


def test_twenty_peaks_are_planned() -> None:
    """Peaks cover three sizes and every way of checkpointing."""
    assert len(PEAKS) == 20
    assert {checkpointing for *_, checkpointing in PEAKS} == {"off", "every_n", "full"}
