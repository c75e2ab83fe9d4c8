"""`trainbox plan --no-data`: from what is on this machine, importing no more than it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runner.cli import main
from runner.errors import EXIT_DONE
from tests.runner.memory.models import CONFIGS

JOB = """\
version: 1
name: light
model: {{name_or_path: {model}}}
data: {{train: [{{path: owner/data}}], max_length: 1024}}
"""
# Each costs 10 to 400 ms; a person who tries settings waits for all of them.
NOT_NEEDED = {
    "torch", "numpy", "tokenizers", "huggingface_hub", "requests", "httpx", "rich", "jinja2",
    "runner.plan", "runner.resolve", "runner.data.prepare", "runner.load.faults",
    "runner.commands.plan_trace", "runner.commands.plan_forecast",
}  # fmt: skip


def job_of(folder: Path, model: str) -> str:
    file = folder / "job.yaml"
    file.write_text(JOB.format(model=model), encoding="utf-8")
    return str(file)


def test_nothing_is_imported_that_it_does_not_need(tmp_path: Path) -> None:
    """Memory is predicted, and neither data, words for faults nor the training stack is loaded."""
    code = (
        "import json, sys; from runner.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)"
    )
    job = job_of(tmp_path, str(CONFIGS / "Llama-3.1-8B"))
    done = subprocess.run(
        [sys.executable, "-c", code, "plan", job, "--no-data"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "device memory" in done.stdout and "together" in done.stdout
    exit_code, loaded = json.loads(done.stderr.splitlines()[-1])
    assert exit_code == EXIT_DONE
    assert NOT_NEEDED.isdisjoint(loaded), NOT_NEEDED.intersection(loaded)


def cached(hub: Path, revision: str = "main") -> None:
    """Write a hub cache that holds a model's configuration alone."""
    repository = hub / "models--org--llama"
    snapshot = repository / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / revision).write_text("0123abc", encoding="utf-8")
    config = (CONFIGS / "Llama-3.1-8B" / "config.json").read_bytes()
    (snapshot / "config.json").write_bytes(config)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_hub_model_is_known_from_the_hubs_own_cache(
    is_there: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No network and no tokenizer: its config.json is enough, and without it nothing is said."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TRAINBOX_CACHE", str(tmp_path / "cache"))
    if is_there:
        cached(tmp_path / "hub")
    job = job_of(tmp_path, "org/llama")
    assert main(["plan", job, "--no-data", "--json", "--gpu", "A100"]) == EXIT_DONE
    facts = json.loads(capsys.readouterr().out)
    assert (facts["memory"] is not None) is is_there
    assert facts["fits"] is (True if is_there else None)
