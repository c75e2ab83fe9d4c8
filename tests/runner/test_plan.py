"""The plan: every auto resolved, the effective batch kept, equal runs recognised."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from runner.errors import PlanError
from runner.machine import Gpu, Machine
from runner.plan import read_plan
from tests.runner.memory.models import config
from tests.runner.plans import CPU_MACHINE, split, tiny_job, tiny_plan

A100 = Gpu(
    index=0, uuid="GPU-1", name="NVIDIA A100", memory_bytes=80 * 2**30,
    compute_capability=(8, 0), driver="580.65.06",
)  # fmt: skip
GPU_MACHINE = Machine(num_cpus=16, memory_bytes=64 * 2**30, gpus=(A100,))


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ({}, (16, 1)),
        ({"per_device_train_batch_size": 2}, (2, 8)),
        ({"gradient_accumulation_steps": 4}, (4, 4)),
        ({"per_device_train_batch_size": 3, "gradient_accumulation_steps": 5}, (3, 5)),
        ({"effective_batch_size": 7}, (7, 1)),
    ],
)
def test_auto_keeps_the_effective_batch(train: dict[str, int], expected: tuple[int, int]) -> None:
    """Micro-batch times accumulation is the effective batch size, whichever of them is given."""
    training = tiny_plan(tiny_job(train=train)).training
    assert (training.micro_batch_size, training.gradient_accumulation_steps) == expected


def test_long_samples_make_small_micro_batches() -> None:
    """auto never puts more tokens into a micro-batch than its limit, but at least one sample."""
    assert tiny_plan(train_data=split(longest=1000)).training.micro_batch_size == 2
    assert tiny_plan(train_data=split(longest=50_000)).training.micro_batch_size == 1


@pytest.mark.parametrize(
    ("train", "num_samples", "steps"),
    [
        ({"effective_batch_size": 4, "num_train_epochs": 1.0}, 10, 3),
        ({"effective_batch_size": 4, "num_train_epochs": 2.0}, 10, 6),
        ({"effective_batch_size": 4, "num_train_epochs": 0.5}, 10, 2),
        ({"effective_batch_size": 4}, 8, 6),
        ({"max_steps": 5}, 10, 5),
        ({"per_device_train_batch_size": 3, "effective_batch_size": 6}, 10, 6),
    ],
)
def test_steps_are_counted_as_the_trainer_counts(
    train: dict[str, float], num_samples: int, steps: int
) -> None:
    """An epoch ends with an optimiser step, however few samples are left for it."""
    plan = tiny_plan(tiny_job(train=train), train_data=split(num_samples))
    assert plan.training.num_steps == steps


def test_no_auto_is_left() -> None:
    """Nothing in the plan's training numbers is `auto`, and each one resolved has a reason."""
    plan = tiny_plan()
    assert "auto" not in dataclasses.asdict(plan.training).values()
    assert "auto" not in plan.job["train"].values()
    assert all(decision.reason for decision in plan.decisions)


def test_the_cpu_is_used_and_said_where_no_gpu_answers() -> None:
    """A job that wants a GPU trains on the CPU where there is none, and the plan says so."""
    plan = tiny_plan()
    assert plan.training.device == "cpu"
    assert "resources.gpus" in {decision.key for decision in plan.decisions}
    assert tiny_plan(machine=GPU_MACHINE).training.device == "cuda"


@pytest.mark.parametrize("wanted", ["0", "GPU-1", "a100"])
def test_a_gpu_is_found_by_index_uuid_or_name(wanted: str) -> None:
    """resources.gpu names a card by what nvidia-smi shows."""
    plan = tiny_plan(tiny_job(resources={"gpu": wanted}), machine=GPU_MACHINE)
    assert plan.training.device == "cuda"


@pytest.mark.parametrize("machine", [CPU_MACHINE, GPU_MACHINE])
def test_a_named_gpu_that_is_absent_is_refused(machine: Machine) -> None:
    """A card asked for by name is never replaced by another one or the CPU."""
    with pytest.raises(PlanError, match="plan-gpu-absent"):
        tiny_plan(tiny_job(resources={"gpu": "H100"}), machine=machine)


def test_identity_ignores_what_does_not_change_the_result() -> None:
    """Checkpoints, tracking and limits may change between two starts of one run."""
    same = tiny_job(checkpoint={"save_steps": 7}, limits={"max_duration": "2h"})
    assert tiny_plan(same).identity == tiny_plan().identity


@pytest.mark.parametrize(
    "changed", [{"train": {"seed": 1}}, {"lora": {"r": 8}}, {"train": {"learning_rate": 1e-4}}]
)
def test_identity_follows_what_decides_the_result(changed: dict[str, dict[str, float]]) -> None:
    """Another seed, rank or learning rate is another run."""
    assert tiny_plan(tiny_job(**changed)).identity != tiny_plan().identity


def test_a_plan_survives_the_way_through_json(tmp_path: Path) -> None:
    """What the training process reads is what was planned."""
    plan = tiny_plan(eval_data=split(4))
    plan.write(tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan


def test_packed_rows_decide_the_number_of_steps() -> None:
    """With packing an epoch is as long as its packed rows, not as its samples."""
    job = tiny_job(data={"packing": True}, train={"effective_batch_size": 2})
    plan = tiny_plan(job, train_data=split(10), packed_rows=3)
    assert plan.training.num_steps == 2 * 3


def test_float16_on_a_cpu_is_refused_before_anything_starts() -> None:
    """What the training process would refuse after loading is refused by the plan."""
    job = tiny_job(model={"name_or_path": "org/tiny", "dtype": "float16"})
    with pytest.raises(PlanError, match="plan-float16-cpu"):
        tiny_plan(job)
    assert tiny_plan(job, machine=GPU_MACHINE).training.compute_dtype == "float16"


@pytest.mark.parametrize("machine", [CPU_MACHINE, GPU_MACHINE])
def test_a_plan_of_a_known_model_predicts_its_memory(tmp_path: Path, machine: Machine) -> None:
    """The predicted peak stands in plan.json, with a verdict where there is a card."""
    plan = tiny_plan(machine=machine, config=config("Llama-3.2-1B"))
    assert plan.memory is not None
    assert plan.memory.verdict == ("fits" if machine.gpus else None)
    plan.write(tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json").memory == plan.memory


PLAIN = tiny_job(
    model={"name_or_path": "org/tiny", "attn_implementation": "sdpa"},
    speed={"loss_head": "trl", "dense_base": False},
)


def test_memory_does_not_make_another_run() -> None:
    """A better estimate is no reason to start anew: it is not part of the identity."""
    known = tiny_plan(PLAIN, config=config("Llama-3.2-1B"))
    assert known.identity == tiny_plan(PLAIN).identity


def test_on_a_cpu_the_estimate_decides_nothing() -> None:
    """Choices for the CPU are those made without knowing the model, its levers apart."""
    known, unknown = tiny_plan(PLAIN, config=config("Llama-3.2-1B")), tiny_plan(PLAIN)
    assert known.training == unknown.training
    assert known.decisions == unknown.decisions
