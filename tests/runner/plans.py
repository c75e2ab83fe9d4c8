"""Plans for tests: complete, tiny, and easy to vary."""

from __future__ import annotations

from typing import Any

from runner.machine import Machine
from runner.plan import Plan, PlannedModel, PreparedSplit, build_plan
from runner.spec import Job

CPU_MACHINE = Machine(num_cpus=2, memory_bytes=8 * 2**30, gpus=())


def tiny_job(**sections: Any) -> Job:
    """Return a valid job; sections are merged into it."""
    raw: dict[str, Any] = {
        "version": 1,
        "name": "tiny",
        "model": {"name_or_path": "org/tiny"},
        "data": {"train": [{"path": "train.jsonl"}], "max_length": 64},
    }
    for name, section in sections.items():
        raw[name] = raw.get(name, {}) | section if isinstance(section, dict) else section
    return Job.model_validate(raw)


def split(num_samples: int = 10, longest: int = 32) -> PreparedSplit:
    """Return a prepared split that stands nowhere on disk."""
    return PreparedSplit(
        path="/nowhere/train.npz",
        sha256="0" * 64,
        num_samples=num_samples,
        num_tokens=num_samples * longest,
        num_supervised_tokens=num_samples * longest // 2,
        longest=longest,
        source_sha256="1" * 64,
    )


def tiny_plan(
    job: Job | None = None,
    machine: Machine = CPU_MACHINE,
    train_data: PreparedSplit | None = None,
    eval_data: PreparedSplit | None = None,
    packed_rows: int | None = None,
    config: dict[str, Any] | None = None,
) -> Plan:
    """Return the plan of a tiny job."""
    return build_plan(
        job or tiny_job(),
        run_id="tiny-20261121-000000-abcd",
        model=PlannedModel(
            public_name="org/tiny",
            revision=None,
            folder="/nowhere/tiny",
            model_type="llama",
            files={"config.json": "2" * 64},
        ),
        train_data=train_data or split(),
        eval_data=eval_data,
        machine=machine,
        packed_rows=packed_rows,
        config=config,
    )
