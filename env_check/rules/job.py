"""JOB: what a job asks for against what this machine has (`--requirements`)."""

from __future__ import annotations

from typing import Optional

from env_check import support
from env_check.facts import Facts, Unknown
from env_check.findings import Layer
from env_check.inference import capabilities, card_names, gib
from env_check.rules.rule import Verdict, fault, rule, warning

PLAN = "the plan of the job (`trainbox plan`)"
GPU_LAYERS = (
    Layer.PLATFORM,
    Layer.HARDWARE,
    Layer.KERNEL_MODULE,
    Layer.DRIVER,
    Layer.CONTAINER,
    Layer.DEVICE,
)


@rule("JOB951", Layer.JOB, source=PLAN, explained_by=GPU_LAYERS)
def too_few_gpus(facts: Facts) -> Optional[Verdict]:
    """The job wants more GPUs than can be used here."""
    wants = facts.requirements
    if wants is None or wants.num_gpus <= len(facts.gpu.devices):
        return None
    have = len(facts.gpu.devices)
    return fault(
        f"the job wants {wants.num_gpus} GPU(s), {have or 'none'} can be used",
        evidence=f"resources.gpus: {wants.num_gpus}; usable: {card_names(facts) or 'none'}",
        why="the plan was made for that many",
        fix=(f"--set resources.gpus={have}", "or use a machine that has them"),
        verify="`nvidia-smi -L` lists as many",
    )


@rule("JOB952", Layer.JOB, source=PLAN, cause_id="oom_model_too_large")
def device_memory(facts: Facts) -> Optional[Verdict]:
    """The predicted device memory is more than the smallest card has."""
    wants = facts.requirements
    sizes = [
        device.memory_total_bytes
        for device in facts.gpu.devices
        if not isinstance(device.memory_total_bytes, Unknown)
    ]
    if wants is None or not sizes or wants.device_memory_bytes <= min(sizes):
        return None
    return fault(
        f"the job needs {gib(wants.device_memory_bytes)} on a GPU, the card has {gib(min(sizes))}",
        evidence=(f"predicted: {gib(wants.device_memory_bytes)}", card_names(facts)),
        why="training would end out of memory",
        fix=(
            "--set data.max_length=1024",
            "--set method=qlora",
            "or a larger card",
        ),
        verify="`trainbox plan JOB` says that it fits",
    )


@rule("JOB953", Layer.JOB, source=PLAN, cause_id="oom_host_killed")
def host_memory(facts: Facts) -> Optional[Verdict]:
    """The job needs more main memory than a process may have."""
    wants, usable = facts.requirements, facts.storage.usable_memory_bytes
    if wants is None or isinstance(usable, Unknown) or wants.host_memory_bytes <= usable:
        return None
    return fault(
        f"the job needs {gib(wants.host_memory_bytes)} of memory, there are {gib(usable)}",
        evidence=f"memory for a process: {gib(usable)}",
        why="the kernel kills the process while it loads the model (exit code 137)",
        fix="use a machine with more memory, or a smaller model",
        verify="`free -h` shows enough",
    )


@rule("JOB954", Layer.JOB, source=PLAN, cause_id="disk_full_cache")
def disk(facts: Facts) -> Optional[Verdict]:
    """The job writes more than a disk has free."""
    wants = facts.requirements
    if wants is None:
        return None
    for folder in facts.storage.folders:
        free = folder.free_bytes
        if folder.purpose not in ("hub cache", "runs") or isinstance(free, Unknown):
            continue
        if wants.disk_bytes > free:
            return fault(
                f"the job needs {gib(wants.disk_bytes)} of disk, {gib(free)} are free",
                evidence=f"{folder.purpose}: {folder.path}: {gib(free)} free",
                why="model, checkpoints and adapter are written there",
                fix=("point HF_HOME and the runs to a larger disk", "--set checkpoint.keep=1"),
                verify="`df -h` shows enough",
            )
    return None


@rule("JOB955", Layer.JOB, source=PLAN, cause_id="shm_too_small")
def shared_memory(facts: Facts) -> Optional[Verdict]:
    """Workers or several ranks with less shared memory than the job asks for."""
    wants, total = facts.requirements, facts.storage.shm_total_bytes
    if wants is None or isinstance(total, Unknown) or total >= wants.shm_bytes:
        return None
    if not (wants.num_workers or wants.num_gpus > 1):
        return None
    return fault(
        f"the job's workers need {gib(wants.shm_bytes)} of shared memory, "
        f"there are {total >> 20} MiB",
        evidence=(f"/dev/shm: {total >> 20} MiB", f"resources.num_workers: {wants.num_workers}"),
        why="workers die with `Bus error … out of shared memory`",
        fix=(
            f"docker run --shm-size={max(1, wants.shm_bytes >> 30)}g …",
            "or --set resources.num_workers=0",
        ),
        verify="`df -h /dev/shm` shows enough",
    )


@rule("JOB956", Layer.JOB, source="torch.cuda.is_bf16_supported", cause_id="bf16_unsupported")
def bfloat16(facts: Facts) -> Optional[Verdict]:
    """The job computes in bfloat16 on a card before Ampere, which only emulates it."""
    wants = facts.requirements
    low = [each for each in capabilities(facts) if support.minor(each) < (8, 0)]
    if wants is None or wants.dtype != "bfloat16" or not low:
        return None
    return warning(
        "this card has no bfloat16 of its own",
        evidence=(f"{card_names(facts)}: compute capability {low[0]}", "model.dtype: bfloat16"),
        why="torch emulates it, many times slower; some kernels refuse",
        fix="--set model.dtype=float16",
        verify="`trainbox plan JOB` shows float16",
    )
