"""What is to be measured on a card, in the order of its worth; each item returns plain data.

The models are random, so losses say that training works and repeats, not that it teaches.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gpu.models import ROOT, make_chats, make_model
from bench.gpu.runs import Run, kill_at_step, train

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
TOGETHER = 4  # peaks at a time: what one process has allocated does not hang on the others
# Of bench.throughput, with minutes a round of the 3.8B: what decides first.
VARIANTS = {
    "TRL, same micro-batch": 1.0, "trainbox": 1.0, "with full checkpointing": 1.0,
    "with compile": 3.0, "with layer_kernels": 1.0, "without any lever": 1.0,
    "without fused_adapters": 1.0, "without uncast_inputs": 1.0, "with one-pass head": 1.0,
    "with dense_base": 1.0, "without padding_free": 1.0, "TRL, its defaults": 1.0,
    "without tf32": 1.0,
}  # fmt: skip
SIZES = {"3.8B": ("Phi-4-mini", 1.0), "8B": ("Llama-3.1-8B", 1.5)}  # model, times the minutes


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an item works, and how large."""

    folder: Path  # models, data and runs; may be lost afterwards
    is_tiny: bool  # two narrow layers, any device: shows that the plumbing holds, measures nothing

    def model(self, name: str) -> str:
        model = make_model(name, self.folder / "models", is_tiny=self.is_tiny)
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

    measure: Callable[[Place], dict[str, Any]]  # under `failed`: what failed of it
    minutes: float  # estimated for one H200; an item is not begun with less time left

    @property
    def limit_seconds(self) -> float:
        return 60 + 120 * self.minutes


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


def memory_peaks(first: int) -> Callable[[Place], dict[str, Any]]:
    """Return the item that holds some of PEAKS, of three steps each, against the plan's."""

    def measure(place: Place) -> dict[str, Any]:
        jobs = {}
        for model, length, micro, checkpointing in PEAKS[first : first + TOGETHER]:
            jobs[f"{model}, {micro} of {length}, {checkpointing}"] = [
                place.model(model), place.dtype, *place.chats(length - 64), *place.steps(3),
                "data.eval=[]", "train.effective_batch_size=8",
                f"train.per_device_train_batch_size={micro}",
                f"train.gradient_checkpointing={checkpointing}",
            ]  # fmt: skip
        with ThreadPoolExecutor(1 if place.is_tiny else TOGETHER) as pool:
            runs = {
                name: pool.submit(train, "jobs/demo.yaml", place.runs(name), settings)
                for name, settings in jobs.items()
            }
        errors = {name: run.exception() for name, run in runs.items()}
        failed = {name: str(error)[-400:] for name, error in errors.items() if error}
        peaks = {name: _peak(runs[name].result()) for name in jobs if name not in failed}
        return {"peaks": peaks, "failed": failed}

    return measure


def _peak(run: Run) -> dict[str, Any]:
    row = run.summary()
    planned, measured = row["planned_allocated_bytes"], row["measured_allocated_bytes"]
    return {"planned_over_measured": planned / measured - 1 if planned else None, **row}


def attention(place: Place) -> dict[str, Any]:
    """varlen against SDPA sample by sample and SDPA under a block mask: times and difference."""
    from bench.gpu.attention import compare

    return compare(lengths=(40, 24) if place.is_tiny else (2048,) * 4)


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


def throughput(model: str, variant: str) -> Callable[[Place], dict[str, Any]]:
    """Return the item that is one round of one variant of `bench.throughput` on a model."""

    def measure(place: Place) -> dict[str, Any]:
        out = place.folder / "throughput.json"
        out.unlink(missing_ok=True)
        chats = place.chats(1984)
        train_file = chats[0].partition("path: ")[2].partition(",")[0]
        command = [
            sys.executable, "-m", "bench.throughput", "--job", "jobs/demo.yaml",
            "--data", train_file, "--rounds", "1", "--steps", "3" if place.is_tiny else "6",
            "--only", variant, "--out", str(out),
        ]  # fmt: skip
        for setting in (place.model(model), place.dtype, *chats, "data.on_too_long=truncate"):
            command += ["--set", setting]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if not out.exists():
            raise RuntimeError((done.stdout + done.stderr)[-1500:])
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return {**found, "failed": found["failed"].get(variant)}

    return measure


def _twin(place: Place) -> Sequence[str]:
    return [
        place.model("Llama-3.2-1B"), place.dtype, *place.chats(448), "train.max_steps=24",
        "train.num_train_epochs=null", "data.eval=[]", "train.deterministic=true",
        "checkpoint.save_steps=2", "checkpoint.save_minutes=null",
    ]  # fmt: skip


def _rounds(turn: int) -> dict[str, Item]:
    return {
        f"{size}, {variant}, round {turn}": Item(
            measure=throughput(model, variant), minutes=minutes * factor
        )
        for variant, minutes in VARIANTS.items()
        for size, (model, factor) in SIZES.items()
    }


ITEMS = {
    "env_check": Item(measure=env_check, minutes=1.0),
    "demo_in_4_bit": Item(measure=demo_in_4_bit, minutes=1.5),
    "dpo_in_4_bit": Item(measure=dpo_in_4_bit, minutes=1.0),
    "equal_bits": Item(measure=equal_bits, minutes=1.5),
    "kill_and_resume": Item(measure=kill_and_resume, minutes=2.0),
    **{
        f"memory_peaks_{1 + first // TOGETHER}": Item(measure=memory_peaks(first), minutes=1.5)
        for first in range(0, len(PEAKS), TOGETHER)
    },
    **_rounds(1),
    "attention": Item(measure=attention, minutes=0.5),
    "checkpointing": Item(measure=checkpointing, minutes=3),
    **_rounds(2),
    **_rounds(3),
}
