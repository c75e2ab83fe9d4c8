"""A run in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.machine import Gpu, Machine
from runner.record.layout import RunDir
from runner.record.state import read_state
from runner.summary import render_state
from tests.runner.memory.models import config
from tests.runner.plans import CPU_MACHINE, tiny_plan

CARD = Gpu(
    index=0, uuid="GPU-1", name="NVIDIA L4", memory_bytes=23034 * 2**20,
    compute_capability=(8, 9), driver="580.65.06",
)  # fmt: skip
GPU_MACHINE = Machine(num_cpus=4, memory_bytes=2**34, gpus=(CARD,))


@pytest.mark.parametrize(("machine", "is_shown"), [(GPU_MACHINE, True), (CPU_MACHINE, False)])
def test_the_predicted_peak_stands_beside_the_measured(
    tmp_path: Path, machine: Machine, is_shown: bool
) -> None:
    """On a card both are shown; on a CPU the measured one is the process's, and stands alone."""
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    tiny_plan(machine=machine, config=config("Llama-3.2-1B")).write(run.plan)
    start = {"event": "start", "run_id": "run", "backend": "host", "device": "cuda", "num_steps": 1,
             "pid": 1, "schema_version": 1}  # fmt: skip
    step = {"event": "step", "step": 1, "loss": 1.0, "tokens": 8, "peak_memory_bytes": 3 * 2**30}
    lines = [json.dumps({"time": 1.0, "attempt": 1, **line}) for line in (start, step)]
    run.journal.write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = render_state(run, read_state(run))
    assert "3.00 GiB" in text
    assert ("(predicted" in text) is is_shown
