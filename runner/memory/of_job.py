"""A job's training step as the settings of an estimate: what our own recipes do."""

from __future__ import annotations

from runner.memory.settings import Adapter, Quantization, Settings
from runner.spec import Job

ITEMSIZE = {"bfloat16": 2, "float16": 2, "float32": 4}


def job_settings(
    job: Job,
    *,
    micro_batch_size: int,
    accumulation: int,
    length: int,
    optim: str,
    checkpointing: str,
    every_n: int,
    attn_implementation: str,
    compute_dtype: str,
    packing: bool,
    head: str,
    holds_dense_base: bool,
    fuses_adapters: bool,
    casts_inputs: bool,
) -> Settings:
    """Return the settings of one step of a job.

    Args:
        length: tokens of the longest row, padding included.
        head, holds_dense_base, fuses_adapters, casts_inputs: the levers that memory feels.
    """
    is_full = job.method == "full"
    is_quantised = job.method == "qlora" and not holds_dense_base
    compute = ITEMSIZE[compute_dtype]
    return Settings(
        method=job.method,
        stage=job.stage,
        rows=micro_batch_size * (2 if job.stage == "dpo" else 1),
        length=length,
        weight_itemsize=4 if is_full else ITEMSIZE[job.model.dtype],  # runner/train/model.py
        compute_itemsize=compute,
        autocast=compute < 4,
        is_half=compute_dtype == "float16",
        quantization=Quantization(bits=4, double_quant=job.quantization.double_quant)
        if is_quantised
        else None,
        adapter=None
        if is_full
        else _adapter(job, is_fused=fuses_adapters, casts_input=casts_inputs),
        optimizer=optim,
        checkpointing=checkpointing,
        every_n=every_n,
        attention=_attention(job, attn_implementation, micro_batch_size, packing),
        head=head,
        accumulates=accumulation > 1,
        is_deterministic=job.train.deterministic,
    )


def _adapter(job: Job, *, is_fused: bool, casts_input: bool) -> Adapter:
    targets = job.lora.target_modules
    return Adapter(
        r=job.lora.r,
        targets=None if targets == "all-linear" else tuple(_last_name(name) for name in targets),
        dropout=job.lora.dropout,
        use_dora=job.lora.use_dora,
        is_fused=is_fused,
        casts_input=casts_input,
    )


def _last_name(target: str) -> str:
    return target.rpartition(".")[2]


def _attention(job: Job, implementation: str, micro_batch_size: int, packing: bool) -> str:
    """SDPA leaves its flash kernel where rows are padded or packed: then there is a mask."""
    if implementation == "eager":
        return "eager"
    if implementation in ("flash_attention_2", "varlen"):
        return "flash"
    has_mask = packing or micro_batch_size > 1 or job.stage == "dpo"
    return "masked" if has_mask else "flash"
