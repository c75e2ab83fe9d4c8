"""Every shipped job is valid, complete and explained; the reference and the schema are current."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.commands.schema import schema, updated
from runner.load import load_job
from runner.load.expected import all_keys
from runner.load.names import ELSEWHERE

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/jobs.md"
JOBS = sorted((ROOT / "jobs").glob("*.yaml"))
GOOD = sorted((ROOT / "tests/fixtures/jobs/good").iterdir())


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def header(job: Path) -> str:
    lines = job.read_text("utf-8").splitlines()
    return "\n".join(line for line in lines[: lines.index("version: 1")])


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.stem)
def test_shipped_job_is_valid(job: Path) -> None:
    """Every job in jobs/ loads from the repository root, and its name is its file's."""
    assert load_job(Path("jobs") / job.name).job.name == job.stem


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.stem)
def test_shipped_job_says_what_it_needs(job: Path) -> None:
    """The header says what, which card, how much memory, how long, and the command."""
    for word in ("what", "card", "memory", "time", f"make train JOB=jobs/{job.name}"):
        assert word in header(job)
    assert "estimated" in header(job) or "measured" in header(job)


def test_methods_and_stages_have_a_job_each() -> None:
    """There is a job to copy for every method and every stage."""
    jobs = [load_job(job).job for job in JOBS]
    assert {job.method for job in jobs} == {"qlora", "lora", "full"}
    assert {job.stage for job in jobs} == {"sft", "dpo"}


def test_reference_is_current() -> None:
    """docs/jobs.md is what `trainbox schema --update docs/jobs.md` writes."""
    assert updated(REFERENCE) == REFERENCE.read_text("utf-8")


def test_example_of_the_reference_is_a_job(tmp_path: Path) -> None:
    """The job printed in the reference is valid and shows every key but the seldom ones."""
    text = re.search(r"```yaml\n(.*?)```", REFERENCE.read_text("utf-8"), re.DOTALL)
    assert text
    job = tmp_path / "example.yaml"
    job.write_text(text.group(1))
    load_job(job)


def test_reference_names_every_key() -> None:
    """No key of the specification is missing from the reference."""
    text = REFERENCE.read_text("utf-8")
    for key in all_keys():
        assert f"`{key.path.rpartition('.')[2]}`" in text or f"`{key.path}`" in text


def test_keys_of_other_trainers_lead_to_keys_of_ours() -> None:
    """Every foreign name is answered with a key that exists, or with a sentence."""
    ours = {key.path for key in all_keys()}
    assert {meant for meant in ELSEWHERE.values() if " " not in meant} <= ours


@pytest.mark.parametrize("job", [*JOBS, *GOOD], ids=lambda job: job.stem)
def test_schema_accepts_what_the_loader_accepts(job: Path) -> None:
    """An editor that checks the schema underlines nothing in a valid job."""
    jsonschema = pytest.importorskip("jsonschema")
    text = job.read_text("utf-8-sig")
    if "\t" in text and job.suffix != ".json":
        pytest.skip("PyYAML refuses tabs")
    data: Any = json.loads(text) if job.suffix == ".json" else yaml.safe_load(text)
    if job.stem != "exponents":  # YAML 1.1 reads `1e-4` and `off` otherwise
        jsonschema.Draft202012Validator(schema()).validate(data)


def test_schema_is_a_schema() -> None:
    """The printed schema is valid itself and describes every key."""
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema())
    assert all(key.description for key in all_keys())
