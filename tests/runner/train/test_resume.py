"""An interrupted run ends with the bits of an uninterrupted one, whatever interrupted it."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.plan import read_plan
from runner.record.checkpoint import newest_valid, sealed_steps
from runner.record.journal import Journal
from runner.record.layout import RunDir
from tests.faults.inject import after_step, broken, once_journalled, signal_itself
from tests.forked_trainer import ForkedTrainer
from tests.runner.train.watch import (
    curve,
    events,
    failure_of,
    log_of,
    result_sha256,
)
from tests.tiny import tiny_run

STEPS = 10
JOBS: dict[str, dict[str, Any]] = {
    "qlora": {"method": "qlora", "quantization": {"compute_dtype": "bfloat16"}},
    "lora-dropout": {"method": "lora", "lora": {"dropout": 0.1}},
    "full": {"method": "full"},
    "dpo-qlora": {"stage": "dpo", "method": "qlora"},
}
LIMIT = {"train": {"max_steps": STEPS}, "checkpoint": {"save_steps": 2}}

SIGTERM_WITH_THE_THIRD_BATCH = """
from transformers.models.llama.modeling_llama import LlamaModel

forward, num_batches = LlamaModel.forward, 0

def struck(self, *args, **kwargs):
    global num_batches
    num_batches += 1
    if num_batches == 3:
        os.kill(os.getpid(), signal.SIGTERM)
    return forward(self, *args, **kwargs)
"""


@pytest.fixture(scope="module")
def uninterrupted(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, RunDir]:
    """A run of each job that nothing disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    finished = {}
    for name, job in JOBS.items():
        finished[name] = tiny_run(folder / name, tiny_model, **LIMIT, **job)
        assert trainer.train(finished[name]) == 0, log_of(finished[name])
    return finished


@pytest.fixture
def begun(tmp_path: Path, tiny_model: Path) -> RunDir:
    """A run of the job with dropout, not started."""
    return tiny_run(tmp_path / "run", tiny_model, **LIMIT, **JOBS["lora-dropout"])


def interrupt(trainer: ForkedTrainer, run: RunDir, number: int, step: int = 5) -> int:
    """Train until a signal comes as soon as a step is in the journal; return the exit code."""
    with broken(trainer, after_step(step, signal_itself(number))):
        return trainer.train(run)


def assert_same(run: RunDir, reference: RunDir) -> None:
    """Result, curve and held-out losses are equal to the bit, and nothing was said twice."""
    assert events(run, "warning") == []
    assert curve(run) == curve(reference)
    assert [event["loss"] for event in events(run, "eval")] == [
        event["loss"] for event in events(reference, "eval")
    ]
    assert result_sha256(run) == result_sha256(reference)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
@pytest.mark.parametrize("name", JOBS)
def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(
    trainer: ForkedTrainer, tiny_model: Path, uninterrupted: dict[str, RunDir], tmp_path: Path,
    name: str, number: signal.Signals,
) -> None:  # fmt: skip
    """Killed or asked to end in the middle, the second attempt ends where the first would have."""
    run = tiny_run(tmp_path / "run", tiny_model, **LIMIT, **JOBS[name])
    expected = -signal.SIGKILL if number == signal.SIGKILL else 75
    assert interrupt(trainer, run, number) == expected
    assert trainer.train(run, TRAINBOX_ATTEMPT="2") == 0, log_of(run)
    (resume,) = events(run, "resume")
    assert resume["step"] > 0 and resume["skipped"] == []
    assert_same(run, uninterrupted[name])


def test_a_run_killed_again_and_again_arrives(
    trainer: ForkedTrainer, uninterrupted: dict[str, RunDir], begun: RunDir
) -> None:
    """Kills at several steps, one after the other, change no bit."""
    for step in (1, 4, 8):
        assert interrupt(trainer, begun, signal.SIGKILL, step) == -signal.SIGKILL
    assert trainer.train(begun) == 0, log_of(begun)
    assert_same(begun, uninterrupted["lora-dropout"])


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_a_damaged_newest_checkpoint_is_passed_over(
    trainer: ForkedTrainer, uninterrupted: dict[str, RunDir], begun: RunDir, damage: str
) -> None:
    """The run falls back to the whole one before it, says so, and ends with the same bits."""
    assert interrupt(trainer, begun, signal.SIGTERM) == 75
    newest, older, *_ = sealed_steps(begun.checkpoints)
    file = newest / "optimizer.pt"
    if damage == "flip":
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "truncate":
        os.truncate(file, 100)
    else:
        file.unlink()
    assert trainer.train(begun) == 0, log_of(begun)
    (resume,) = events(begun, "resume")
    assert resume["checkpoint"] == older.name
    assert [one["checkpoint"] for one in resume["skipped"]] == [newest.name]
    assert_same(begun, uninterrupted["lora-dropout"])


def test_all_checkpoints_damaged_starts_over(
    trainer: ForkedTrainer, uninterrupted: dict[str, RunDir], begun: RunDir
) -> None:
    """Without a whole checkpoint the run begins again, with the same bits."""
    assert interrupt(trainer, begun, signal.SIGTERM) == 75
    for folder in sealed_steps(begun.checkpoints):
        (folder / "rng_state.pth").unlink()
    assert trainer.train(begun) == 0, log_of(begun)
    assert events(begun, "resume")[0]["checkpoint"] is None
    assert_same(begun, uninterrupted["lora-dropout"])


def test_a_finished_run_started_again_changes_nothing(
    trainer: ForkedTrainer, uninterrupted: dict[str, RunDir]
) -> None:
    """No step is trained twice, and the result is saved with the same bits."""
    run = uninterrupted["qlora"]
    before = (result_sha256(run), curve(run), len(events(run, "eval")))
    assert trainer.train(run) == 0, log_of(run)
    assert (result_sha256(run), curve(run), len(events(run, "eval"))) == before


@pytest.mark.parametrize(
    ("number", "exit_code", "reason"),
    [
        (signal.SIGTERM, 75, "signal"),
        (signal.SIGHUP, 75, "signal"),
        (signal.SIGINT, 130, "signal"),
        (signal.SIGUSR1, 3, "limit"),
    ],
)
def test_a_signal_seals_a_checkpoint_at_the_step(
    trainer: ForkedTrainer, begun: RunDir, number: signal.Signals, exit_code: int, reason: str
) -> None:
    """The step is finished, saved for the reason that came, and the exit code says which."""
    assert interrupt(trainer, begun, number, step=3) == exit_code
    last = events(begun, "checkpoint")[-1]
    assert (last["step"], last["reason"]) == (curve(begun)[-1][0], reason)
    assert newest_valid(begun.checkpoints)[0] == begun.checkpoints / last["checkpoint"]
    assert not begun.adapter.exists()


def test_a_signal_before_the_first_step_ends_at_once(trainer: ForkedTrainer, begun: RunDir) -> None:
    """While the model is loaded nothing can be saved and nothing is lost: start me again."""
    with broken(trainer, once_journalled('event == "phase"', signal_itself(signal.SIGTERM))):
        assert trainer.train(begun) == 75
    assert curve(begun) == []


def interrupt_evaluation(trainer: ForkedTrainer, run: RunDir, nth: int) -> int:
    """Train until SIGTERM comes with a batch of the nth evaluation; return the exit code."""
    begins = once_journalled(
        'event == "phase" and fields["name"] == "evaluate"', "LlamaModel.forward = struck", nth=nth
    )
    with broken(trainer, begins + SIGTERM_WITH_THE_THIRD_BATCH):
        return trainer.train(run)


def test_a_signal_while_the_untrained_model_is_measured_ends_at_once(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """No step is trained before all weights were measured: they could not be afterwards."""
    run = tiny_run(tmp_path / "run", tiny_model, eval_samples=400, **LIMIT, method="full")
    assert interrupt_evaluation(trainer, run, nth=1) == 75
    assert curve(run) == [] and events(run, "eval") == []
    assert trainer.train(run) == 0, log_of(run)
    assert [event["phase"] for event in events(run, "eval")] == ["before", "after"]


def test_an_evaluation_that_a_signal_cut_off_is_made_up_for(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """The checkpoint is sealed at once; the next attempt measures first, with the same weights."""
    run = tiny_run(
        tmp_path / "run", tiny_model, eval_samples=400, train={"max_steps": 4, "eval_steps": 2}
    )
    assert interrupt_evaluation(trainer, run, nth=2) == 75
    cut_off = [(event["phase"], event["step"]) for event in events(run, "eval")]
    assert trainer.train(run) == 0, log_of(run)
    assert cut_off == [("before", 0)]
    assert [(event["phase"], event["step"]) for event in events(run, "eval")] == [
        ("before", 0), ("during", 2), ("after", 4),
    ]  # fmt: skip


def test_a_checkpoint_of_another_run_is_refused(trainer: ForkedTrainer, begun: RunDir) -> None:
    """A plan with other data or hyper-parameters does not go on from these weights."""
    assert interrupt(trainer, begun, signal.SIGTERM) == 75
    replace(read_plan(begun.plan), identity="other").write(begun.plan)
    assert trainer.train(begun) == 1
    assert failure_of(begun)["id"] == "checkpoint-of-another-run"


def test_a_run_that_was_forced_goes_on_from_its_checkpoint(
    trainer: ForkedTrainer, begun: RunDir
) -> None:
    """`resume --force` wrote its warning: the checkpoint of the plan before is taken."""
    assert interrupt(trainer, begun, signal.SIGTERM) == 75
    replace(read_plan(begun.plan), identity="other").write(begun.plan)
    with Journal(begun.journal, 2) as journal:
        journal.write("warning", id="resume-forced", message="train.learning_rate: 0.1 → 0.2")
    assert trainer.train(begun, TRAINBOX_ATTEMPT="2") == 0, log_of(begun)
    assert events(begun, "resume")[0]["step"] > 0


def test_the_clock_saves_too(trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path) -> None:
    """With steps far between checkpoints, `save_minutes` saves; with it off, nothing does."""
    for minutes, reasons in ((0.0002, {"clock", "last"}), (None, {"last"})):
        run = tiny_run(
            tmp_path / f"run-{minutes}",
            tiny_model,
            checkpoint={"save_steps": 1000, "save_minutes": minutes},
        )
        assert trainer.train(run) == 0, log_of(run)
        assert {event["reason"] for event in events(run, "checkpoint")} == reasons


def test_a_replayed_step_that_differs_is_reported(trainer: ForkedTrainer, begun: RunDir) -> None:
    """A step that comes out otherwise than the journal says is a warning, not a second line."""
    assert interrupt(trainer, begun, signal.SIGKILL) == -signal.SIGKILL
    lines = begun.journal.read_text().splitlines()
    steps = [number for number, line in enumerate(lines) if '"event": "step"' in line]
    changed = json.loads(lines[steps[0]])
    lines[steps[0]] = json.dumps(changed | {"loss": changed["loss"] + 1e-15})
    begun.journal.write_text("\n".join(lines) + "\n")
    for folder in sealed_steps(begun.checkpoints):
        (folder / "MANIFEST.json").unlink()
    assert trainer.train(begun, TRAINBOX_ATTEMPT="2") == 0, log_of(begun)
    (warning,) = events(begun, "warning")
    assert warning["id"] == "replay-differs" and "step 1 " in warning["message"]
    assert [step for step, *_ in curve(begun)] == list(range(1, STEPS + 1))


def test_a_full_disk_stops_the_run_after_three_failed_saves(
    trainer: ForkedTrainer, begun: RunDir
) -> None:
    """A save that fails costs only itself; three in a row end the run, which can be resumed."""
    with broken(trainer, "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (40_000, 40_000))"):
        assert trainer.train(begun) == 1
    assert [event["id"] for event in events(begun, "warning")] == ["checkpoint-failed"] * 3
    assert failure_of(begun)["id"] == "checkpoint-cannot-be-written"
    assert not list(begun.checkpoints.glob("step-*"))
    assert trainer.train(begun) == 0, log_of(begun)


@pytest.mark.parametrize(
    ("changed", "id"),
    [
        ({"device": "cuda"}, "train-no-gpu"),
        ({"compute_dtype": "float16"}, "train-float16-on-cpu"),
    ],
)
def test_another_device_than_planned_is_refused(
    trainer: ForkedTrainer, begun: RunDir, changed: dict[str, str], id: str
) -> None:
    """A plan for a card does not quietly train on the CPU."""
    plan = read_plan(begun.plan)
    replace(plan, training=replace(plan.training, **changed)).write(begun.plan)
    assert trainer.train(begun) == 1
    assert failure_of(begun)["id"] == id
