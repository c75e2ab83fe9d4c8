"""Held-out loss and answers: right, and without a trace in what is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.record.layout import RunDir
from tests.forked_trainer import ForkedTrainer
from tests.runner.train.watch import curve, events, log_of, result_sha256
from tests.tiny import tiny_run

DROPOUT = {"lora": {"dropout": 0.1, "r": 4, "alpha": 8}}

# Plain transformers, one sample at a time, no padding: the definition of the number.
BASE_LOSS = """
import json, numpy, torch
from transformers import AutoModelForCausalLM

base, data, expected = arguments
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
arrays = numpy.load(data)
total, count = 0.0, 0
for start, end in zip(arrays["offsets"], arrays["offsets"][1:]):
    ids = torch.tensor(arrays["input_ids"][start:end][None].astype("int64"))
    mask = torch.tensor(arrays["supervised"][start:end])[1:]
    with torch.no_grad():
        log_probs = model(ids).logits[0, :-1].log_softmax(-1)
    nll = -log_probs.gather(1, ids[0, 1:, None])[:, 0]
    total, count = total + float(nll[mask].sum()), count + int(mask.sum())
loss, tokens = json.loads(expected)
assert count == tokens, (count, tokens)
assert abs(total / count - loss) < 1e-5, (total / count, loss)
"""


def train(trainer: ForkedTrainer, run: RunDir) -> RunDir:
    assert trainer.train(run) == 0, log_of(run)
    return run


def test_before_is_the_base_models_loss_over_supervised_tokens(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """Measured after the first step with the adapter off, it is the untrained model's mean."""
    run = train(trainer, tiny_run(tmp_path / "run", tiny_model, **DROPOUT))
    before = events(run, "eval")[0]
    data = json.loads(run.plan.read_text())["eval_data"]
    trainer.run_python(
        BASE_LOSS,
        str(tiny_model),
        data["path"],
        json.dumps([before["loss"], before["supervised_tokens"]]),
    )


def test_a_steps_loss_is_the_mean_over_its_supervised_tokens(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """One step over all samples, split into micro-batches or not, has the base model's loss."""
    run = tiny_run(
        tmp_path / "run",
        tiny_model,
        train={"max_steps": 1, "gradient_accumulation_steps": 4},
    )
    step = events(train(trainer, run), "step")[0]
    data = json.loads(run.plan.read_text())["train_data"]
    trainer.run_python(
        BASE_LOSS,
        str(tiny_model),
        data["path"],
        json.dumps([step["loss"], step["supervised_tokens"]]),
    )


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_evaluation_changes_no_trained_bit(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path, method: str
) -> None:
    """With dropout, which draws random numbers, evaluating or not trains the same."""
    silent = train(
        trainer, tiny_run(tmp_path / "silent", tiny_model, eval_samples=0, method=method, **DROPOUT)
    )
    evaluating = train(
        trainer,
        tiny_run(
            tmp_path / "evaluating",
            tiny_model,
            train={"eval_steps": 1},
            tracking={"samples": "terminal"},
            method=method,
            **DROPOUT,
        ),
    )
    assert [event["phase"] for event in events(evaluating, "eval")] == [
        "before", "during", "during", "during", "after",
    ]  # fmt: skip
    assert events(silent, "eval") == []
    assert curve(evaluating) == curve(silent)
    assert result_sha256(evaluating) == result_sha256(silent)


@pytest.mark.parametrize("stage", ["sft", "dpo"])
@pytest.mark.parametrize("where", ["terminal", "files", "none"])
def test_answers_go_where_the_job_says_and_nowhere_else(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path, where: str, stage: str
) -> None:
    """Two answers on the terminal channel, a file only with `files`, and no text in the rest."""
    run = tiny_run(tmp_path / "run", tiny_model, stage=stage, tracking={"samples": where})
    process = trainer.start(run)
    assert process.terminal is not None
    with process.terminal:
        said = [json.loads(line) for line in process.terminal.read().splitlines()]
    assert process.wait() == 0, log_of(run)
    shown = [] if where == "none" else ["before", "after"]
    assert [sample["phase"] for sample in said] == shown
    assert run.samples.exists() == (where == "files")
    for path in (run.journal, run.log):
        assert '"kind": "sample"' not in path.read_text(encoding="utf-8", errors="replace")


def test_a_terminal_nobody_reads_is_no_error(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """When the supervisor is gone the answers are dropped and the run goes on."""
    run = tiny_run(tmp_path / "run", tiny_model, tracking={"samples": "terminal"})
    process = trainer.start(run)
    assert process.terminal is not None
    process.terminal.close()
    assert process.wait() == 0, log_of(run)


def test_a_loss_that_is_not_a_number_stops_the_run(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """The step is named, no checkpoint is sealed, and there is no result."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    poisoned = tmp_path / "poisoned"
    poisoned.mkdir()
    for path in tiny_model.iterdir():
        (poisoned / path.name).write_bytes(path.read_bytes())
    weights = load_file(tiny_model / "model.safetensors")
    weights["model.norm.weight"] = np.full_like(weights["model.norm.weight"], np.nan)
    save_file(weights, poisoned / "model.safetensors", metadata={"format": "pt"})
    run = tiny_run(tmp_path / "run", poisoned)
    assert trainer.train(run) == 1
    failure = json.loads(run.failure.read_text())
    assert failure["id"] == "train-not-finite" and "step 1" in failure["what"]
    assert not list(run.checkpoints.glob("step-*")) and not run.adapter.exists()
