"""Which levers on the time of a step a run pulls: pure choices, each with its reason.

Every lever computes what the plain path computes, within rounding (tests/runner/train/levers), so
`auto` asks only whether model, method and device can have it, and what it costs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runner.errors import PlanError
from runner.machine import Gpu
from runner.memory.architecture import Architecture
from runner.memory.of_job import ITEMSIZE
from runner.memory.parameters import all_linears
from runner.spec import Job

# Models whose attention is causal, windowed or not, and asks for nothing else: their logits laid
# end to end are held equal to those of each sample alone by tests/runner/train/levers.
KEPT_APART = (
    "llama", "mistral", "qwen2", "qwen3", "phi3", "gemma", "olmo2", "olmo3", "smollm3", "granite",
)  # fmt: skip
VARLEN_CAPABILITY = (8, 0)  # of torch.nn.attention.varlen: FlashAttention 2
# Models whose norms, rotary positions and gated MLP Liger's kernels compute (liger-kernel 0.8.5).
IN_LAYER_KERNELS = ("llama", "mistral", "qwen2", "qwen3", "phi3")
TRITON_CAPABILITY = (7, 0)
DENSE_BYTES = 2 * 2**30  # what `auto` spends on a base held dequantised, on a CPU

Decide = Callable[[str, Any, Any, str], Any]


@dataclass(frozen=True, kw_only=True)
class Levers:
    """What is pulled; the defaults are the plain path, which older plans trained with."""

    padding_free: bool = False
    loss_head: str = "trl"  # one_pass | trl
    dense_base: bool = False
    fused_adapters: bool = False
    uncast_inputs: bool = False
    layer_kernels: bool = False
    compile: bool = False
    tf32: bool = False


PLAIN = Levers()


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What `auto` becomes, why, and whether the job could ask for the other."""

    value: Any
    reason: str
    is_possible: bool = True


def decide_levers(job: Job, gpu: Gpu | None, arch: Architecture | None, decide: Decide) -> Levers:
    """Resolve the section `speed` of a job.

    Args:
        gpu: None trains on the CPU.
        arch: None where the model is not one we know.

    Raises:
        PlanError: the job asks for a lever that its model, method or device cannot have.
    """
    choices = {
        "padding_free": _padding_free(job, gpu, arch),
        "loss_head": _loss_head(job, gpu, arch),
        "dense_base": _dense_base(job, gpu, arch),
        "fused_adapters": _fused_adapters(job),
        "uncast_inputs": _uncast_inputs(job),
        "layer_kernels": _layer_kernels(job, gpu, arch),
        "compile": _compile(gpu),
        "tf32": _tf32(job, gpu),
    }
    for key, choice in choices.items():
        wanted = getattr(job.speed, key)
        if not choice.is_possible and wanted not in ("auto", choice.value):
            raise _impossible(f"speed.{key}", wanted, choice)
    return Levers(
        **{
            key: decide(f"speed.{key}", getattr(job.speed, key), choice.value, choice.reason)
            for key, choice in choices.items()
        }
    )


def decide_attention(job: Job, levers: Levers, arch: Architecture | None, decide: Decide) -> str:
    """Resolve `model.attn_implementation`.

    Raises:
        PlanError: varlen is asked for, and rows would be padded or the model cannot have it.
    """
    key, wanted = "model.attn_implementation", job.model.attn_implementation
    if (levers.padding_free or job.data.packing is True) and keeps_apart(job, arch):
        choice = Choice(value="varlen", reason="samples laid end to end")
    else:
        choice = Choice(value="sdpa", reason="in PyTorch itself, on every card and the CPU")
        if wanted == "varlen":
            no_use = Choice(value="sdpa", reason="rows are padded, or the model is not known")
            raise _impossible(key, wanted, no_use)
    return str(decide(key, wanted, choice.value, choice.reason))


def keeps_apart(job: Job, arch: Architecture | None) -> bool:
    """Return whether samples laid end to end attend to themselves alone, without a mask."""
    wanted = job.model.attn_implementation
    return arch is not None and arch.model_type in KEPT_APART and wanted in ("auto", "varlen")


def _padding_free(job: Job, gpu: Gpu | None, arch: Architecture | None) -> Choice:
    if job.stage == "dpo":
        return Choice(value=False, reason="pairs are padded", is_possible=False)
    if not keeps_apart(job, arch):
        reason = "not shown to be exact with this model or attention"
        return Choice(value=False, reason=reason, is_possible=False)
    if gpu is None:
        return Choice(value=True, reason="no processor time goes into padding")
    if (gpu.compute_capability or (0, 0)) < VARLEN_CAPABILITY or job.model.dtype == "float32":
        reason = "the kernel wants 16 bit and compute capability 8.0"
        return Choice(value=False, reason=reason)
    return Choice(value=True, reason="no card time goes into padding")


def _loss_head(job: Job, gpu: Gpu | None, arch: Architecture | None) -> Choice:
    is_plain = arch is not None and arch.model_type in KEPT_APART and not arch.scales_logits
    if job.method == "full" or not is_plain:
        reason = "the head is trained, or not known to be a plain product"
        return Choice(value="trl", reason=reason, is_possible=False)
    if gpu is not None:
        return Choice(value="trl", reason="its kernel for cards is fused")
    return Choice(value="one_pass", reason="two products a supervised token, none for others")


def _dense_base(job: Job, gpu: Gpu | None, arch: Architecture | None) -> Choice:
    if job.method != "qlora":
        return Choice(value=False, reason="the base is not quantised", is_possible=False)
    if job.quantization.compute_dtype not in ("auto", job.model.dtype):
        reason = "the base is computed in another type than model.dtype"
        return Choice(value=False, reason=reason, is_possible=False)
    if gpu is not None or arch is None:
        return Choice(value=False, reason="a 4-bit base saves memory")
    nbytes = sum(linear.numel for linear in all_linears(arch)) * ITEMSIZE[job.model.dtype]
    gib = f"{nbytes / 2**30:.1f} GiB"
    if nbytes > DENSE_BYTES:
        return Choice(value=False, reason=f"it would take {gib} more")
    return Choice(value=True, reason=f"dequantised once, for {gib}")


def _fused_adapters(job: Job) -> Choice:
    if job.method == "full":
        return Choice(value=False, reason="there is no adapter", is_possible=False)
    if job.lora.dropout or job.lora.use_dora:
        reason = "dropout and DoRA need PEFT's own layers"
        return Choice(value=False, reason=reason, is_possible=False)
    return Choice(value=True, reason="base and adapter in one function, no copies between")


def _uncast_inputs(job: Job) -> Choice:
    if job.method == "full":
        return Choice(value=False, reason="there is no adapter", is_possible=False)
    if _compute_dtype(job) == "float32":
        reason = "computed in float32, as the adapters are"
        return Choice(value=False, reason=reason, is_possible=False)
    if job.lora.use_dora:
        reason = "DoRA's norms would be computed in 16 bit"
        return Choice(value=False, reason=reason, is_possible=False)
    if job.lora.dropout:
        return Choice(value=False, reason="dropout would draw and round otherwise")
    return Choice(value=True, reason="autocast narrows what PEFT would widen: the same bits")


def _compute_dtype(job: Job) -> str:
    """Return the type of the computation: that of the autocast."""
    wanted = job.quantization.compute_dtype
    return job.model.dtype if wanted == "auto" else wanted


def _layer_kernels(job: Job, gpu: Gpu | None, arch: Architecture | None) -> Choice:
    def no(reason: str) -> Choice:
        return Choice(value=False, reason=reason, is_possible=False)

    if gpu is None or (gpu.compute_capability or (0, 0)) < TRITON_CAPABILITY:
        return no("Triton wants a card from compute capability 7.0")
    if arch is None or arch.model_type not in IN_LAYER_KERNELS:
        return no("Liger's kernels are not known to compute this model's layers")
    if job.method == "full":
        return no("held equal for frozen norms alone")
    if job.speed.compile is True:
        return no("compiled layers are fused already")
    return Choice(value=False, reason="not measured on a card")


def _compile(gpu: Gpu | None) -> Choice:
    if gpu is None:
        return Choice(value=False, reason="pays on cards alone", is_possible=False)
    return Choice(value=False, reason="starts minutes later; for runs of hours")


def _tf32(job: Job, gpu: Gpu | None) -> Choice:
    if gpu is None:
        return Choice(value=False, reason="a CPU has no TF32", is_possible=False)
    if job.model.dtype != "bfloat16":
        return Choice(value=False, reason=f"model.dtype asks for {job.model.dtype}")
    return Choice(value=True, reason="what is left in float32 is bfloat16 before and after")


def _impossible(key: str, wanted: Any, choice: Choice) -> PlanError:
    return PlanError(
        id="plan-lever",
        what=f"`{key}` is {json.dumps(wanted)}, which this run cannot have: {choice.reason}",
        why="the step would be computed otherwise than the job says",
        fix=f"write `{key.rpartition('.')[2]}: auto`",
    )
