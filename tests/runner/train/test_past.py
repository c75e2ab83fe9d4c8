"""What earlier attempts wrote, and whether a replayed step repeats it."""

from __future__ import annotations

from runner.train.past import Past

STEP = {
    "event": "step",
    "attempt": 1,
    "step": 3,
    "loss": 1.5,
    "learning_rate": 1e-4,
    "grad_norm": 0.5,
    "tokens": 100,
    "supervised_tokens": 50,
}


def past(*, then: int, now: int) -> Past:
    """Return the past of a run whose first attempt did step 3 with micro-batches of `then`."""
    return Past([{"event": "start", "attempt": 1, "micro_batch_size": then}, STEP], now)


def test_a_step_that_repeats_its_bits_differs_in_nothing() -> None:
    """NaN equals itself here; the clock is not compared."""
    assert past(then=4, now=4).differences(STEP | {"time": 2.0}) is None
    nan = STEP | {"loss": float("nan")}
    assert Past([nan], 4).differences(dict(nan)) is None


def test_a_changed_bit_is_named() -> None:
    """One digit in the loss is a difference, with both values."""
    difference = past(then=4, now=4).differences(STEP | {"loss": 1.5000000000000002})
    assert difference is not None and "1.5000000000000002, was 1.5" in difference


def test_another_micro_batch_may_round_otherwise_but_not_take_other_samples() -> None:
    """After a halved micro-batch, loss bits may differ and token counts may not."""
    other = past(then=4, now=2)
    assert other.differences(STEP | {"loss": 1.4999, "grad_norm": 0.49}) is None
    assert other.differences(STEP | {"tokens": 101}) is not None


def test_skipped_steps_and_evaluations_are_known() -> None:
    """A warning that skips a batch, and held-out losses, are found again."""
    skip = {"event": "warning", "id": "train-batch-skipped", "step": 7, "message": "…"}
    evaluation = {"event": "eval", "phase": "during", "step": 2}
    found = Past([STEP, skip, evaluation, {"event": "warning", "id": "other"}], 4)
    assert (found.skipped, found.evals) == ({7}, {("during", 2)})
    assert found.has_step(3) and not found.has_step(7)
    assert found.losses_until(2) == [] and found.losses_until(3) == [1.5]
