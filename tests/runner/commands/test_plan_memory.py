"""`trainbox plan` about memory: what it prints, its exit code, and that its advice is true."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.cli import main
from runner.commands.plan_memory import require_fit
from runner.errors import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED, PlanError
from runner.memory.cards import GIB, Card
from runner.memory.estimate import estimate
from runner.memory.fit import planned_memory
from runner.memory.settings import Settings
from tests.runner.memory.models import CONFIGS, architecture

JOB = """\
version: 1
name: fit
method: {method}
model: {{name_or_path: {model}}}
data: {{train: [{{path: train.jsonl}}], max_length: 2048}}
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A QLoRA job on a folder that holds Llama-3.1-8B's config.json and nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n',
        encoding="utf-8",
    )
    file = tmp_path / "job.yaml"
    file.write_text(JOB.format(method="qlora", model=CONFIGS / "Llama-3.1-8B"), encoding="utf-8")
    return file


def plan(capsys: pytest.CaptureFixture[str], job: Path, *arguments: str) -> tuple[int, Any]:
    """Run `trainbox plan JOB --json …`; return exit code and what it printed."""
    code = main(["plan", str(job), "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_a_configuration_alone_is_enough(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No weights, no tokenizer, no network: bytes by component, a verdict, cards that fit."""
    code, facts = plan(capsys, job, "--gpu", "RTX 4090")
    memory = facts["memory"]
    assert code == EXIT_DONE
    assert facts["fits"] is memory["fits"] is True
    assert memory["allocated_bytes"] <= memory["reserved_bytes"] <= memory["device_bytes"]
    assert sum(memory["components"].values()) == pytest.approx(memory["device_bytes"], abs=16)
    assert "GeForce RTX 4090" in memory["cards"]
    assert memory["components"]["weights"] / GIB == pytest.approx(5.31, abs=0.01)


def test_the_effective_batch_is_kept_on_every_card(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Micro-batch and accumulation differ by card, their product does not."""
    for gpu in ("T4", "RTX 4090", "H200"):
        training = plan(capsys, job, "--gpu", gpu)[1]["training"]
        assert training["micro_batch_size"] * training["gradient_accumulation_steps"] == 16
        assert training["device"] == "cuda"


def test_what_does_not_fit_ends_with_exit_code_1(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On 5 GiB not even the weights fit; the changes are listed all the same."""
    code, facts = plan(capsys, job, "--memory-gib", "5")
    assert code == EXIT_FAILED
    assert facts["fits"] is facts["memory"]["fits"] is False
    assert facts["memory"]["verdict"] == "does not fit"
    assert facts["memory"]["changes"]


def test_a_change_said_to_be_enough_makes_it_fit(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pasting the advice into the command leads to a plan that fits."""
    greedy = ("--set", "train.per_device_train_batch_size=16", "--set",
              "train.gradient_checkpointing=off", "--memory-gib", "40")  # fmt: skip
    code, facts = plan(capsys, job, *greedy)
    assert code == EXIT_FAILED
    enough = [change for change in facts["memory"]["changes"] if change["is_enough"]]
    assert enough
    for change in enough:
        pasted = [part for argument in change["arguments"] for part in ("--set", argument)]
        code, after = plan(capsys, job, *greedy, *pasted)
        assert (code, after["fits"]) == (EXIT_DONE, True), change


def test_the_table_says_moment_verdict_and_what_to_paste(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text names the point of the step, the verdict, and `--set` for each change."""
    assert main(["plan", str(job), "--memory-gib", "6", "--no-data"]) == EXIT_FAILED
    text = capsys.readouterr().out
    for part in ("most where the backward pass begins", "a card with 6 GiB: does not fit",
                 "activations kept", "saves", '--set "train.optim=adamw_8bit"'):  # fmt: skip
        assert part in text


def test_an_unknown_architecture_is_said_to_be_unknown(
    job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is promised for a model whose layers are not known."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text('{"model_type": "rwkv"}', encoding="utf-8")
    code, facts = plan(capsys, job, "--set", f"model.name_or_path={tmp_path / 'm'}", "--gpu", "T4")
    assert (code, facts["memory"], facts["fits"]) == (EXIT_DONE, None, None)


def test_a_target_the_model_lacks_is_refused_without_a_tokenizer_too(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What config.json alone can show to be wrong is an error of the job."""
    arguments = ["plan", str(job), "--gpu", "T4", "--set", "lora.target_modules=[qkv_proj]"]
    assert main(arguments) == EXIT_REFUSED
    assert "qkv_proj" in capsys.readouterr().err


def test_planning_memory_needs_no_torch(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The arithmetic runs where the training stack is not installed."""
    before = set(sys.modules)
    plan(capsys, job, "--no-data", "--gpu", "L4")
    assert not {name for name in set(sys.modules) - before if name.split(".")[0] == "torch"}


def test_train_refuses_what_does_not_fit() -> None:
    """The refusal names what is needed, what is there, and the command that says what to change."""
    arch = architecture("Llama-3.2-1B")
    found = estimate(arch, Settings(method="full", rows=1, length=512))
    card = Card(name="small", memory_bytes=2 * GIB, capability=None)
    with pytest.raises(PlanError, match="plan-does-not-fit") as error:
        require_fit(planned_memory(found, card, 512), "job.yaml")
    assert "trainbox plan job.yaml" in error.value.fix
    large = Card(name="large", memory_bytes=80 * GIB, capability=None)
    require_fit(planned_memory(found, large, 512), "job.yaml")
    require_fit(None, "job.yaml")


@pytest.mark.slow
def test_a_trace_stands_beside_the_prediction(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--trace` counts the model's own code in a process of its own; the two agree within 3 %."""
    small = ("--set", f"model.name_or_path={CONFIGS / 'TinyLlama-1.1B'}", "--set",
             "data.max_length=256", "--gpu", "T4", "--trace")  # fmt: skip
    _, facts = plan(capsys, job, *small)
    trace = facts["trace"]
    assert trace["predicted_bytes"] / trace["counted_bytes"] == pytest.approx(1, abs=0.03)


@pytest.mark.slow
def test_a_trace_that_cannot_run_says_why(
    job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line of the model's code is in the refusal."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text('{"model_type": "no-such"}', encoding="utf-8")
    arguments = ["plan", str(job), "--set", f"model.name_or_path={tmp_path / 'm'}", "--trace"]
    assert main(arguments) == EXIT_REFUSED
    assert "plan-trace-failed" in capsys.readouterr().err
