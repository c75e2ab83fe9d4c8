"""What WSL 2 costs a run: folders on Windows' drives, and the memory of its virtual machine.

The rules are env-check's; here they are asked before a run, about this job, on WSL alone.
"""

from __future__ import annotations

from dataclasses import replace

from env_check.facts import Facts
from env_check.findings import Finding
from env_check.probes import gpu, host, storage
from env_check.rules.job import host_memory
from env_check.rules.platform import wsl_one
from env_check.rules.storage import windows_drive
from env_check.system import LocalSystem, System
from runner.base_model.source import ModelFolder, weight_bytes
from runner.errors import TrainboxError
from runner.requirements import ModelSize, requirements_of
from runner.spec import Job

RULES = (wsl_one, windows_drive, host_memory)


def wsl_warnings(job: Job, model: ModelFolder, system: System | None = None) -> list[str]:
    """Return a line for each thing on WSL that would slow or end this job; none elsewhere.

    Args:
        system: the machine; None is this one.
    """
    system = system or LocalSystem()
    if not host.wsl_version(system, system.kernel()[1]):
        return []
    memory = storage.probe(system)
    base_model = storage.folder(system, "base model", str(model.folder))
    facts = Facts(
        host=host.probe(system),
        gpu=gpu.probe(system),
        storage=replace(memory, folders=(*memory.folders, base_model)),
        requirements=requirements_of(job, _size_of(job, model)),
    )
    return [_in_a_line(finding) for rule in RULES if (finding := rule(facts)) is not None]


def _size_of(job: Job, model: ModelFolder) -> ModelSize:
    try:
        total, _ = weight_bytes(job.model, offline=True)
    except TrainboxError:  # not described without a network
        total = 0
    return ModelSize(name=model.public_name, config=model.config, weight_bytes=total)


def _in_a_line(finding: Finding) -> str:
    evidence, fix = ", ".join(finding.evidence), "; ".join(finding.fix)
    return f"warning[{finding.id}]: {finding.what} ({evidence}); {finding.why}; fix: {fix}"
