"""The manifest: what ran, assembled from facts; a gap is named, never guessed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runner.machine import Gpu, Machine
from runner.plan import Plan
from runner.record.journal import Journal
from runner.record.layout import RunDir
from runner.record.manifest import (
    attempts_of,
    build_manifest,
    close_manifest,
    keep_surroundings,
    open_manifest,
    read_manifest,
    surroundings,
)
from runner.record.surroundings import (
    gather_code,
    gather_lock,
    gather_machine_facts,
    gather_surroundings,
    parse_cpuinfo,
)
from tests.runner.plans import CPU_MACHINE, split, tiny_plan

CARD = Gpu(
    index=0, uuid="GPU-1", name="NVIDIA T4", memory_bytes=16 * 2**30,
    compute_capability=(7, 5), driver="580.10",
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path / "tiny-1")
    run.path.mkdir()
    run.job.write_bytes(b"version: 1\n")
    planned().write(run.plan)
    return run


def planned() -> Plan:
    return dataclasses.replace(tiny_plan(eval_data=split(4)), run_id="tiny-1")


def read(run: RunDir) -> dict[str, Any]:
    manifest = read_manifest(run)
    assert manifest is not None
    return manifest


def test_it_says_what_ran(run: RunDir) -> None:
    """Job, model, data, seeds, code, versions and machine stand in it before training starts."""
    open_manifest(run, planned(), surroundings("host"))
    manifest = read(run)
    assert manifest["schema_version"] == 1 and manifest["status"] == "running"
    assert manifest["job"]["sha256"] == hashlib.sha256(b"version: 1\n").hexdigest()
    assert manifest["model"]["files"] == {"config.json": "2" * 64}
    assert manifest["data"]["train"]["source_sha256"] == "1" * 64
    assert manifest["determinism"]["seed"] == 42
    assert manifest["versions"]["python"]
    assert manifest["machine"]["cpu"]["flags"]
    assert "/nowhere" not in run.manifest.read_text(encoding="utf-8")


def test_it_ends_with_attempts_and_hashes(run: RunDir) -> None:
    """The end adds how each attempt ended and the SHA-256 of what came out."""
    open_manifest(run, planned(), surroundings("host"))
    with Journal(run.journal, 1) as journal:
        journal.write("start", backend="host", device="cpu", num_steps=1)
        journal.write("step", step=1, loss=math.nan, tokens=5)
        journal.write("end", status="finished", reason="done", exit_code=0)
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_bytes(b"{}")
    close_manifest(run, "finished")
    manifest = read(run)
    assert manifest["status"] == "finished"
    assert [attempt["status"] for attempt in manifest["attempts"]] == ["finished"]
    assert manifest["results"]["training_loss"] == "nan"
    assert manifest["results"]["files"] == {
        "adapter/adapter_config.json": (
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        )
    }


def test_it_closes_even_when_it_was_lost(run: RunDir) -> None:
    """A manifest destroyed meanwhile is written anew from plan and journal."""
    run.manifest.write_text("{ torn", encoding="utf-8")
    close_manifest(run, "failed")
    assert read(run)["status"] == "failed"


def test_attempts_are_read_from_the_journal() -> None:
    """An attempt without an end has none: its supervisor died."""
    events = [
        {"event": "start", "attempt": 1, "time": 1.0, "backend": "host", "device": "cpu"},
        {"event": "start", "attempt": 2, "time": 5.0, "backend": "host", "device": "cpu"},
        {"event": "resume", "attempt": 2, "time": 6.0, "checkpoint": "step-3"},
        {"event": "end", "attempt": 2, "time": 9.0, "status": "limit", "exit_code": 3},
    ]
    first, second = attempts_of(events)
    assert (first["status"], first["ended"]) == (None, None)
    assert (second["resumed_from"], second["status"], second["ended"]) == ("step-3", "limit", 9.0)


def test_an_earlier_attempt_keeps_the_surroundings_that_were_its_own() -> None:
    """Resumed on another machine, the manifest still says where the first steps were made."""
    surroundings = gather_surroundings()
    attempts: list[dict[str, Any]] = [{"attempt": 1}]
    before = build_manifest(planned(), surroundings=surroundings, job_sha256="0", attempts=attempts)
    elsewhere = {**surroundings, "machine": gather_machine_facts(CPU_MACHINE) | {"kernel": "6.0"}}
    keep_surroundings(attempts, before, elsewhere)
    assert attempts[0]["surroundings"] == {"machine": surroundings["machine"]}
    again = build_manifest(planned(), surroundings=elsewhere, job_sha256="0", attempts=attempts)
    third: list[dict[str, Any]] = [{"attempt": 1}, {"attempt": 2}]
    keep_surroundings(third, again, surroundings)
    assert third[0]["surroundings"]["machine"] == surroundings["machine"]
    assert third[1]["surroundings"]["machine"] == elsewhere["machine"]


def test_a_card_is_described() -> None:
    """Name, driver, memory and compute capability of every card are facts of the run."""
    machine = Machine(num_cpus=4, memory_bytes=2**35, gpus=(CARD,))
    facts = gather_machine_facts(machine)
    assert facts["gpus"][0]["driver"] == "580.10"
    assert json.loads(json.dumps(facts)) is not None


def test_the_code_is_a_commit_and_a_dirty_state(tmp_path: Path) -> None:
    """A changed file makes the state dirty and gives the difference a digest."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "a.py").write_text("1\n", encoding="utf-8")
    subprocess.run([*git, "add", "a.py"], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    clean = gather_code(tmp_path)
    assert len(clean["commit"]) == 40 and clean["is_dirty"] is False
    (tmp_path / "a.py").write_text("2\n", encoding="utf-8")
    dirty = gather_code(tmp_path)
    assert dirty["is_dirty"] is True and dirty["diff_sha256"]
    assert gather_code(tmp_path / "no-repository")["installed"] is True


def test_the_lock_is_the_one_that_set_up_stamped(tmp_path: Path) -> None:
    """The stamp of `make setup` names the lock; without one and without a match it is unknown."""
    assert "unknown" in gather_lock(tmp_path, tmp_path)
    stamp = {"lock": "cpu", "digests": {"cpu": "3" * 64, "dev": "4" * 64}}
    (tmp_path / "trainbox.json").write_text(json.dumps(stamp), encoding="utf-8")
    found = gather_lock(tmp_path, tmp_path)
    assert found == {"name": "cpu", "sha256": "3" * 64, "found_by": "stamp"}


def test_no_secret_of_the_environment_is_recorded(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only variables on a short list are recorded, and a token is on none."""
    monkeypatch.setenv("HF_TOKEN", "hf_plantedToken")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    open_manifest(run, planned(), surroundings("host"))
    assert "hf_plantedToken" not in run.manifest.read_text(encoding="utf-8")
    assert read(run)["environment"]["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(
    ("text", "model", "flags"),
    [
        ("model name\t: Xeon\nflags\t\t: fpu avx2 amx_bf16\n", "Xeon", ["avx2", "amx_bf16"]),
        ("CPU part\t: 0xd0c\nFeatures\t: fp asimd sve\n", "Arm part 0xd0c", ["asimd", "sve"]),
    ],
    ids=["x86", "arm"],
)
def test_the_processor_is_read_on_both_architectures(
    text: str, model: str, flags: list[str]
) -> None:
    """The instruction sets decide which kernels run, and so which bits come out."""
    assert parse_cpuinfo(text) == {"model": model, "flags": flags}
