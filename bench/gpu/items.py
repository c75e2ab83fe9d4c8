"""What is to be measured on a card, in the order of its worth; each item returns plain data.

The models are random, so losses say that training works and repeats, not that it teaches.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gpu.models import ROOT, make_chats, make_model
from bench.gpu.runs import kill_at_step, train

LEARNING = "train.learning_rate=5.0e-4"
# Of 20 memory peaks: model, tokens of the longest sample, micro-batch, checkpointing.
PEAKS = [
    (model, length, micro, checkpointing)
    for model, length, micro in (
        ("Llama-3.2-1B", 512, 4), ("Llama-3.2-1B", 2048, 2), ("Llama-3.2-1B", 2048, 8),
        ("Phi-4-mini", 2048, 1), ("Phi-4-mini", 2048, 4), ("Llama-3.1-8B", 1024, 2),
        ("Llama-3.1-8B", 2048, 4),
    )
    for checkpointing in ("full", "every_n", "off")
][:20]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an item works, and how large."""

    folder: Path  # models, data and runs; may be lost afterwards
    is_tiny: bool  # the tests' model on any device: shows that the plumbing holds, measures nothing

    def model(self, name: str) -> str:
        model = make_model("tiny" if self.is_tiny else name, self.folder / "models")
        return f"model.name_or_path={model}"

    def chats(self, num_bytes: int) -> list[str]:
        """Return settings that train on chats of a length, held-out ones beside them."""
        num_bytes = 150 if self.is_tiny else num_bytes
        files = [make_chats(self.folder, num, num_bytes) for num in (256, 16)]
        return [
            *(
                f"data.{split}=[{{path: {file}, format: messages}}]"
                for split, file in zip(("train", "eval"), files, strict=True)
            ),
            # a chat's frame, and words of several bytes that are one token
            f"data.max_length={256 if self.is_tiny else num_bytes + 64}",
        ]

    def steps(self, number: int) -> list[str]:
        steps = min(number, 3) if self.is_tiny else number
        return [f"train.max_steps={steps}", "train.num_train_epochs=null"]

    def runs(self, name: str) -> Path:
        return self.folder / "runs" / name

    @property
    def dtype(self) -> str:
        return f"model.dtype={'float32' if self.is_tiny else 'bfloat16'}"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One entry of the list."""

    measure: Callable[[Place], dict[str, Any]]
    minutes: float  # expected on one H200; an item is not begun with less time left


def env_check(place: Place) -> dict[str, Any]:
    """What `env-check --deep` says: torch, 4 bit and a training step, each alone."""
    command = [sys.executable, "-m", "env_check", "--deep", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return {"exit_code": done.returncode, "report": found}


def demo_in_4_bit(place: Place) -> dict[str, Any]:
    """The demo's recipe in 4 bit and bfloat16: the held-out loss falls."""
    settings = [place.model("Llama-3.2-1B"), place.dtype, *place.steps(30), LEARNING]
    settings += ["data.max_length=2048"] if not place.is_tiny else place.chats(150)
    return train("jobs/demo.yaml", place.runs("demo"), settings).summary()


def dpo_in_4_bit(place: Place) -> dict[str, Any]:
    """Preferences in 4 bit."""
    settings = [place.model("Llama-3.2-1B"), place.dtype, *place.steps(10)]
    settings += ["data.max_length=2048" if not place.is_tiny else "data.max_length=250"]
    return train("jobs/dpo.yaml", place.runs("dpo"), settings).summary()


def equal_bits(place: Place) -> dict[str, Any]:
    """Two runs of one job with `deterministic: true`: the same losses and adapter, to the bit."""
    runs = [train("jobs/demo.yaml", place.runs(f"twin-{n}"), _twin(place)) for n in (1, 2)]
    losses = [[step["loss"] for step in run.events("step")] for run in runs]
    return {
        "losses_equal": losses[0] == losses[1],
        "adapters_equal": runs[0].adapter_sha256 == runs[1].adapter_sha256,
        "tokens_per_second": [run.summary()["tokens_per_second"] for run in runs],
    }


def kill_and_resume(place: Place) -> dict[str, Any]:
    """Killed in its middle and started again, a run ends with the bits of one that was not."""
    whole = train("jobs/demo.yaml", place.runs("whole"), _twin(place))
    runs = place.runs("killed")
    kill_at_step("jobs/demo.yaml", runs, _twin(place), step=3)
    resumed = train("jobs/demo.yaml", runs, _twin(place))
    if not resumed.events("resume"):
        raise RuntimeError("it had ended before it was killed: nothing was resumed")
    return {
        "resumed_from": [event["step"] for event in resumed.events("resume")],
        "adapters_equal": resumed.adapter_sha256 == whole.adapter_sha256,
        "warnings": [event["id"] for event in resumed.events("warning")],
    }


def memory_peaks(place: Place) -> dict[str, Any]:
    """Peaks of three steps against those the plan foretold."""
    rows = []
    for model, length, micro, checkpointing in PEAKS[:2] if place.is_tiny else PEAKS:
        settings = [
            place.model(model), place.dtype, *place.chats(length - 64), *place.steps(3),
            "data.eval=[]", "train.effective_batch_size=8",
            f"train.per_device_train_batch_size={micro}",
            f"train.gradient_checkpointing={checkpointing}",
        ]  # fmt: skip
        name = f"peak-{model}-{length}-{micro}-{checkpointing}"
        try:
            row = train("jobs/demo.yaml", place.runs(name), settings).summary()
        except RuntimeError as failed:
            rows.append({"name": name, "failed": str(failed)[-400:]})
            continue
        planned, measured = row["planned_allocated_bytes"], row["measured_allocated_bytes"]
        error = planned / measured - 1 if planned else None
        rows.append({"name": name, "planned_over_measured": error, **row})
    return {"peaks": rows}


def attention(place: Place) -> dict[str, Any]:
    """varlen against SDPA sample by sample and SDPA under a block mask: times and difference."""
    from bench.gpu.attention import compare

    return compare(lengths=(40, 24) if place.is_tiny else (2048,) * 8)


def checkpointing(place: Place) -> dict[str, Any]:
    """Full, every second layer, off; the same step otherwise."""
    rows = {}
    for policy in ("full", "every_n", "off"):
        settings = [
            place.model("Phi-4-mini"), place.dtype, *place.chats(1984), *place.steps(6),
            "data.eval=[]", f"train.gradient_checkpointing={policy}",
            "train.per_device_train_batch_size=4", "train.effective_batch_size=4",
        ]  # fmt: skip
        rows[policy] = train("jobs/demo.yaml", place.runs(f"n-{policy}"), settings).summary()
    return rows


def throughput(model: str) -> Callable[[Place], dict[str, Any]]:
    """Return the item that compares tokens a second on a model."""

    def measure(place: Place) -> dict[str, Any]:
        out = place.folder / f"throughput-{model}.json"
        chats = place.chats(1984)
        train_file = chats[0].partition("path: ")[2].partition(",")[0]
        command = [
            sys.executable, "-m", "bench.throughput", "--job", "jobs/demo.yaml",
            "--data", train_file, "--rounds", "1" if place.is_tiny else "2",
            "--steps", "3" if place.is_tiny else "6", "--out", str(out),
        ]  # fmt: skip
        if place.is_tiny:
            for variant in ("TRL, same micro-batch", "trainbox", "without any lever"):
                command += ["--only", variant]
        for setting in (place.model(model), place.dtype, *chats, "data.on_too_long=truncate"):
            command += ["--set", setting]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError((done.stdout + done.stderr)[-1500:])
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return found

    return measure


def _twin(place: Place) -> Sequence[str]:
    return [
        place.model("Llama-3.2-1B"), place.dtype, *place.chats(448), "train.max_steps=8",
        "train.num_train_epochs=null", "data.eval=[]", "train.deterministic=true",
        "checkpoint.save_steps=2", "checkpoint.save_minutes=null",
    ]  # fmt: skip


ITEMS = {
    "env_check": Item(measure=env_check, minutes=1.5),
    "demo_in_4_bit": Item(measure=demo_in_4_bit, minutes=2),
    "dpo_in_4_bit": Item(measure=dpo_in_4_bit, minutes=1.5),
    "equal_bits": Item(measure=equal_bits, minutes=2),
    "kill_and_resume": Item(measure=kill_and_resume, minutes=3),
    "attention": Item(measure=attention, minutes=0.5),
    "throughput_3.8B": Item(measure=throughput("Phi-4-mini"), minutes=9),
    "memory_peaks": Item(measure=memory_peaks, minutes=9),
    "throughput_8B": Item(measure=throughput("Llama-3.1-8B"), minutes=9),
    "checkpointing": Item(measure=checkpointing, minutes=3),
}
