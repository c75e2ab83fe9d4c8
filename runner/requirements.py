"""What a job wants of a machine, for env_check to judge: here, or on another machine.

Arithmetic on the job and the sizes of its model; nothing is asked or measured. Memory is that of
the smallest step the job could take: what longer rows and larger batches need is the plan's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from env_check.facts import Requirements
from runner.memory.architecture import Architecture
from runner.memory.estimate import estimate
from runner.memory.of_job import ITEMSIZE, job_settings
from runner.memory.settings import FLOAT32, Settings
from runner.memory.weights import num_trained
from runner.predict import find_architecture
from runner.spec import Job

# Resident, on a CPU, after the imports of the training process (torch 2.13, transformers 5, trl 1).
STACK_BYTES = 515 << 20
SHORTEST_ROW = 8  # tokens: the least that data.max_length may be
# Bytes of the optimiser's states in a checkpoint, a trained parameter.
MOMENTS = {"sgd": 0, "adamw_8bit": 2, "paged_adamw_8bit": 2}
ADAM_MOMENTS = 2 * FLOAT32


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """What is known of a base model before training."""

    name: str  # as the job's errors call it: hub id or public name, never a path
    config: Mapping[str, Any] = field(default_factory=dict)  # config.json; empty: not had
    weight_bytes: int = 0  # of its weight files; 0: not known
    missing_bytes: int = 0  # of them, those still to be brought
    is_on_hub: bool = False
    is_refused: bool = False  # the hub gave it to nobody, or not to this account


def requirements_of(
    job: Job, model: ModelSize, *, source_bytes: int = 0, misses_data: bool = False
) -> Requirements:
    """Return what a machine must have for this job.

    Args:
        source_bytes: size of the job's data files; prepared data is about as large.
        misses_data: data sets of the hub are not in the cache yet.
    """
    on_cpu_alone = job.resources.gpus == 0
    names_gpu_features = (
        job.resources.gpu is not None
        or job.model.attn_implementation == "flash_attention_2"
        or job.train.optim.startswith("paged_")
    )
    workers = 0 if on_cpu_alone else job.resources.num_workers
    return Requirements(
        model=model.name,
        model_bytes=model.weight_bytes,
        needs_download=model.is_on_hub and (model.missing_bytes > 0 or not model.config),
        needs_token=model.is_refused,
        needs_hub=misses_data or job.network == "hub",
        dtype=job.model.dtype,
        quantization=job.quantization.type if job.method == "qlora" else "",
        attention=job.model.attn_implementation,
        num_gpus=job.resources.gpus,
        gpu="" if job.resources.gpu is None else str(job.resources.gpu),
        can_use_cpu=not names_gpu_features,
        device_memory_bytes=least_device_bytes(job, model),
        host_memory_bytes=STACK_BYTES,
        download_bytes=model.missing_bytes if model.is_on_hub else 0,
        cache_bytes=source_bytes + (0 if model.is_on_hub else model.missing_bytes),
        run_bytes=run_bytes(job, model),
        shm_bytes=int(job.resources.shm_gib * (1 << 30)) if workers else 0,
        num_workers=workers,
        tracking_uri="" if job.tracking.mlflow.uri == "auto" else job.tracking.mlflow.uri,
    )


def least_device_bytes(job: Job, model: ModelSize) -> int:
    """Return the peak of the smallest step there is: one short row, layers recomputed."""
    arch = find_architecture(model.config)
    return estimate(arch, smallest_step(job)).allocated_bytes if arch else 0


def run_bytes(job: Job, model: ModelSize) -> int:
    """Return the checkpoints that a disk must hold, and the result."""
    arch = find_architecture(model.config)
    if arch is None:
        return 0
    return num_checkpoints(job) * checkpoint_bytes(job, arch) + result_bytes(job, arch)


def num_checkpoints(job: Job) -> int:
    """Return how many checkpoints a disk must have room for: those kept, and two.

    One is written before the oldest goes, and only where there is room for two (`train.saver`).
    """
    return job.checkpoint.keep + 2


def checkpoint_bytes(job: Job, arch: Architecture) -> int:
    """Return the size of one checkpoint: what is trained, and the optimiser's states."""
    trained = num_trained(arch, smallest_step(job))
    return trained * (FLOAT32 + MOMENTS.get(job.train.optim, ADAM_MOMENTS))


def result_bytes(job: Job, arch: Architecture) -> int:
    """Return the size of the adapter or the model that is left in the end."""
    width = ITEMSIZE[job.model.dtype] if job.method == "full" else FLOAT32
    return num_trained(arch, smallest_step(job)) * width


def smallest_step(job: Job) -> Settings:
    """Return a step of the job that no other one needs less memory than."""
    compute, optim = job.quantization.compute_dtype, job.train.optim
    return job_settings(
        job,
        micro_batch_size=1,
        accumulation=1,
        length=SHORTEST_ROW,
        optim="adamw_torch_fused" if optim == "auto" else optim,
        checkpointing="full",
        every_n=2,
        attn_implementation="sdpa",
        compute_dtype=job.model.dtype if compute == "auto" else compute,
        packing=False,
        head="trl",
        holds_dense_base=False,
        fuses_adapters=True,
        casts_inputs=False,
    )
