"""What a job wants of a machine, for env_check to judge: here, or on another machine.

Arithmetic on the job and the sizes of its model; nothing is asked or measured. Memory is what
weights, gradients and optimiser take at the least: the activations come on top, and are the plan's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from env_check.facts import Requirements
from runner.spec import Job

# Resident, on a CPU, after the imports of the training process (torch 2.13, transformers 5, trl 1).
STACK_BYTES = 515 << 20
WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}
FLOAT32 = 4
# Bytes a trained parameter, beyond weight and gradient; paged moments may live in main memory.
MOMENTS = {"sgd": 0, "adamw_8bit": 2, "paged_adamw_8bit": 0, "paged_adamw_32bit": 0}
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

    @property
    def num_parameters(self) -> int:
        """Elements of the weights, by the type that config.json says they are stored in."""
        stored = self.config.get("dtype") or self.config.get("torch_dtype") or "bfloat16"
        return self.weight_bytes // WIDTHS.get(str(stored), 2)


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
    """Return what weights, gradients and optimiser states take together, without activations."""
    base = model.num_parameters
    trained = num_trained(job, model)
    states = trained * (2 * FLOAT32 + MOMENTS.get(job.train.optim, ADAM_MOMENTS))
    if job.method == "full":
        return states
    if job.method == "qlora":
        return base // 2 + states  # 4 bits a weight; what stays wider comes on top
    return base * WIDTHS[job.model.dtype] + states


def run_bytes(job: Job, model: ModelSize) -> int:
    """Return the checkpoints kept, the one being written, and the result."""
    trained = num_trained(job, model)
    checkpoint = trained * (FLOAT32 + MOMENTS.get(job.train.optim, ADAM_MOMENTS))
    width = WIDTHS[job.model.dtype] if job.method == "full" else FLOAT32
    return (job.checkpoint.keep + 1) * checkpoint + trained * width


def num_trained(job: Job, model: ModelSize) -> int:
    """Return the trained parameters; an adapter counts its matrices in every layer."""
    if job.method == "full":
        return model.num_parameters
    text = model.config.get("text_config") or model.config
    try:
        matrices = _matrices(text)
        layers = int(text["num_hidden_layers"])
    except (KeyError, TypeError, ValueError):
        return 0  # another architecture: not known
    targets = job.lora.target_modules
    chosen = [
        inputs + outputs
        for name, (inputs, outputs) in matrices.items()
        if targets == "all-linear" or name in {each.rpartition(".")[2] for each in targets}
    ]
    return layers * job.lora.r * sum(chosen)


def _matrices(text: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Return inputs and outputs of a layer's linear modules, named as in Llama."""
    hidden, inner = int(text["hidden_size"]), int(text["intermediate_size"])
    heads = int(text["num_attention_heads"])
    head = int(text.get("head_dim") or hidden // heads)
    query, key = heads * head, int(text.get("num_key_value_heads") or heads) * head
    return {
        "q_proj": (hidden, query), "k_proj": (hidden, key), "v_proj": (hidden, key),
        "o_proj": (query, hidden), "gate_proj": (hidden, inner), "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }  # fmt: skip
