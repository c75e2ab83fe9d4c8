"""What auto becomes on a card: the fastest step that fits."""

from __future__ import annotations

from dataclasses import replace

from runner.memory.choose import (
    ENOUGH_TOKENS,
    Policy,
    Step,
    choose_step,
    every_n_policies,
    speed,
)
from runner.memory.estimate import Estimate, estimate
from runner.memory.settings import Adapter, Quantization, Settings
from tests.runner.memory.models import architecture

LLAMA = architecture("Llama-3.1-8B")
GIB = 2**30
LENGTH = 2048
OFF, FULL = Policy(checkpointing="off"), Policy(checkpointing="full")
POLICIES = (OFF, FULL, *every_n_policies(LLAMA.num_layers))


def predict(step: Step) -> Estimate:
    settings = Settings(
        method="qlora",
        rows=step.micro_batch_size,
        length=LENGTH,
        quantization=Quantization(bits=4, double_quant=True),
        adapter=Adapter(r=16, targets=None),
        optimizer=step.optim,
    )
    policy = step.policy
    return estimate(
        LLAMA, replace(settings, checkpointing=policy.checkpointing, every_n=policy.every_n)
    )


def choose(memory_gib: float, sizes: tuple[int, ...] = (1, 2, 4, 8, 16)) -> tuple[Step, bool]:
    return choose_step(
        sizes, POLICIES, ("adamw_torch_fused",), LENGTH, int(memory_gib * GIB), predict
    )


def test_more_memory_never_makes_a_slower_step() -> None:
    """From a small card to a large one, fewer launches are waited for and less is redone."""
    steps = [choose(gib)[0] for gib in (10, 16, 24, 48, 80, 141)]
    speeds = [speed(step, LENGTH) for step in steps]
    assert speeds == sorted(speeds)
    assert steps[0].policy == FULL
    assert steps[-1].policy == OFF


def test_layers_are_recomputed_until_it_fits() -> None:
    """Between all and none there are steps, and memory that is left is used for fewer."""
    gibs = [predict(Step(micro_batch_size=4, policy=one, optim="adamw_torch_fused")).device_bytes
            for one in POLICIES]  # fmt: skip
    least, most = min(gibs) / GIB / 0.92, max(gibs) / GIB / 0.92
    chosen = [
        choose(least + share * (most - least) + 0.1, (4,))[0].policy
        for share in (0.0, 0.6, 0.75, 0.85, 0.9, 0.95, 1.0)
    ]
    assert chosen[0] == FULL and chosen[-1] == OFF
    speeds = [policy.speed for policy in chosen]
    assert speeds == sorted(speeds) and len(set(speeds)) >= 5


def test_each_number_of_recomputed_layers_has_one_policy() -> None:
    """Of two n that recompute as many layers of 32, only the smaller is tried."""
    assert [policy.every_n for policy in every_n_policies(32)] == [2, 3, 4, 5, 6, 7, 8, 11, 16, 32]
    assert [policy.every_n for policy in every_n_policies(1)] == [2]


def test_what_is_chosen_fits_with_a_margin() -> None:
    """The expected use of the card stays below nine tenths and a bit."""
    for gib in (12, 24, 80):
        step, is_found = choose(gib)
        assert is_found
        assert predict(step).device_bytes <= 0.92 * gib * GIB


def test_the_margin_is_given_up_before_the_plan_is() -> None:
    """A card that the smallest step fits without a margin is used."""
    least = Step(micro_batch_size=1, policy=FULL, optim="adamw_torch_fused")
    step, is_found = choose(predict(least).device_bytes / GIB + 0.01)
    assert (step, is_found) == (least, True)


def test_no_step_is_larger_than_keeps_a_card_busy() -> None:
    """More tokens than enough gain nothing, whatever memory is left."""
    step, _ = choose(1000)
    assert step.micro_batch_size * LENGTH == ENOUGH_TOKENS


def test_a_card_too_small_gets_the_least_and_is_told() -> None:
    """Where nothing fits, the smallest step is planned and said not to fit."""
    step, is_found = choose(6)
    assert not is_found
    assert step == Step(micro_batch_size=1, policy=FULL, optim="adamw_torch_fused")


def test_what_the_job_fixes_is_not_touched() -> None:
    """A micro-batch the job gives is the only one tried."""
    assert choose(24, sizes=(2,))[0].micro_batch_size == 2
