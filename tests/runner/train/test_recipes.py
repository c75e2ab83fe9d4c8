"""Every stage and method trains for real on the tiny model and leaves a result that loads."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from runner.record.layout import RunDir
from tests.forked_trainer import ForkedTrainer
from tests.runner.train.watch import curve, events, log_of
from tests.tiny import PUBLIC_NAME, tiny_run

RECIPES = [(stage, method) for stage in ("sft", "dpo") for method in ("qlora", "lora", "full")]

LOADS_WITH_PLAIN_LIBRARIES = """
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base, result, method = arguments
if method == "full":
    model = AutoModelForCausalLM.from_pretrained(result, dtype="auto")
    assert model.dtype == torch.float32, model.dtype
else:
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), result)
    adapters = [value for name, value in model.named_parameters() if "lora_B" in name]
    assert all(value.abs().sum() > 0 for value in adapters), "not trained"
tokenizer = AutoTokenizer.from_pretrained(result)
text = tokenizer.apply_chat_template([{"role": "user", "content": "what helps"}], tokenize=False)
assert text.startswith("<|im_start|>user"), text
assert torch.isfinite(model(**tokenizer(text, return_tensors="pt")).logits).all()
"""

STATE_IS_FLOAT32 = """
from pathlib import Path
import torch
from safetensors.torch import load_file

checkpoint = Path(arguments[0])
weights = load_file(next(checkpoint.glob("*.safetensors")))
assert {value.dtype for value in weights.values()} == {torch.float32}, checkpoint
moments = torch.load(checkpoint / "optimizer.pt", weights_only=True)["state"]
kinds = {one[key].dtype for one in moments.values() for key in ("exp_avg", "exp_avg_sq")}
assert kinds == {torch.float32}, kinds
"""


@pytest.fixture(scope="module")
def runs(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], RunDir]:
    """One finished run of each recipe, computed in bfloat16 where that is the adapters' trap."""
    folder = tmp_path_factory.mktemp("recipes")
    finished = {}
    for stage, method in RECIPES:
        run = tiny_run(
            folder / f"{stage}-{method}",
            tiny_model,
            stage=stage,
            method=method,
            quantization={"compute_dtype": "bfloat16"} if method == "qlora" else {},
        )
        assert trainer.train(run) == 0, log_of(run)
        finished[stage, method] = run
    return finished


@pytest.mark.parametrize("recipe", RECIPES, ids="-".join)
def test_every_recipe_trains(runs: dict[tuple[str, str], RunDir], recipe: tuple[str, str]) -> None:
    """Every step is in the journal once and in order, and the held-out loss stands at both ends."""
    run = runs[recipe]
    assert [step for step, *_ in curve(run)] == [1, 2, 3, 4]
    assert [(event["phase"], event["step"]) for event in events(run, "eval")] == [
        ("before", 0),
        ("after", 4),
    ]
    assert [event["reason"] for event in events(run, "checkpoint")] == [*["interval"] * 3, "last"]
    assert events(run, "warning") == []


@pytest.mark.parametrize("recipe", RECIPES, ids="-".join)
def test_every_result_loads_with_plain_libraries(
    trainer: ForkedTrainer, tiny_model: Path, runs: dict[tuple[str, str], RunDir],
    recipe: tuple[str, str],
) -> None:  # fmt: skip
    """peft or transformers alone load the result, with its tokenizer and chat template."""
    run, method = runs[recipe], recipe[1]
    result = run.model if method == "full" else run.adapter
    trainer.run_python(LOADS_WITH_PLAIN_LIBRARIES, str(tiny_model), str(result), method)


@pytest.mark.parametrize("recipe", RECIPES, ids="-".join)
def test_weights_and_moments_are_float32(
    trainer: ForkedTrainer, runs: dict[tuple[str, str], RunDir], recipe: tuple[str, str]
) -> None:
    """What is trained, and what Adam remembers of it, loses no small update to 16 bits."""
    trainer.run_python(STATE_IS_FLOAT32, str(runs[recipe].checkpoints / "step-4"))


@pytest.mark.parametrize("recipe", RECIPES, ids="-".join)
def test_no_file_names_a_path_of_this_machine(
    runs: dict[tuple[str, str], RunDir], tiny_model: Path, recipe: tuple[str, str]
) -> None:
    """The result and the checkpoints call the base model by its public name."""
    run = runs[recipe]
    folders = [run.adapter, run.model, run.checkpoints]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert str(tiny_model.parent).encode() not in path.read_bytes(), path
        assert str(run.path.parent).encode() not in path.read_bytes(), path
    if run.adapter.exists():
        config = json.loads((run.adapter / "adapter_config.json").read_text())
        assert (config["base_model_name_or_path"], config["revision"]) == (PUBLIC_NAME, "0123abc")


def test_no_pickle_of_arguments_is_kept(runs: dict[tuple[str, str], RunDir]) -> None:
    """training_args.bin, which may hold tokens, is in no checkpoint."""
    for run in runs.values():
        assert not list(run.path.rglob("training_args.bin"))


def test_sft_losses_are_those_of_the_tiny_model(runs: dict[tuple[str, str], RunDir]) -> None:
    """The first losses do not move when the code around them does."""
    losses = [loss for _, loss, *_ in curve(runs["sft", "lora"])]
    assert losses == pytest.approx([5.79223, 6.10354, 5.82607, 5.76476], abs=2e-3)


def test_dpo_begins_at_log_2(runs: dict[tuple[str, str], RunDir]) -> None:
    """Before the first step policy and reference agree, so that every pair costs log 2."""
    for method in ("qlora", "lora", "full"):
        before = events(runs["dpo", method], "eval")[0]
        assert before["loss"] == pytest.approx(math.log(2), abs=1e-6)
        assert events(runs["dpo", method], "step")[-1]["rewards_margin"] > 0


def test_tokens_of_a_step_are_counted(runs: dict[tuple[str, str], RunDir]) -> None:
    """Two steps of two micro-batches of two are all eight samples: each token counted once."""
    for stage in ("sft", "dpo"):
        run = runs[stage, "lora"]
        data = json.loads(run.plan.read_text())["train_data"]
        steps = events(run, "step")[:2]
        assert sum(step["supervised_tokens"] for step in steps) == data["num_supervised_tokens"]
    assert data["num_tokens"] > 0


@pytest.mark.parametrize(
    "section",
    [
        {"train": {"gradient_checkpointing": "full"}},
        {"train": {"gradient_checkpointing": "every_n"}},
        {"lora": {"use_dora": True, "use_rslora": True, "target_modules": ["q_proj", "v_proj"]}},
        {"model": {"dtype": "bfloat16"}},
        {"data": {"packing": True}},
        {"train": {"optim": "adamw_8bit", "max_grad_norm": 0.0}},
        {"resources": {"num_workers": 2}},
    ],
    ids=lambda section: "-".join(f"{key}" for part in section.values() for key in part),
)
def test_options_train_too(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path, section: dict[str, dict[str, object]]
) -> None:
    """Memory, adapter, precision, packing and optimiser options reach the trainer and work."""
    sections = {"train": {"max_steps": 2}, **section}
    sections["train"] = {"max_steps": 2} | sections["train"]
    run = tiny_run(tmp_path / "run", tiny_model, **sections)
    assert trainer.train(run) == 0, log_of(run)
    assert len(curve(run)) == 2
