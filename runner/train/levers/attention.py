"""Attention over samples laid end to end: each sees itself alone, and no token is padding.

transformers builds no mask for a kernel it is not told how to mask, which is what is wanted here:
the borders of the samples (`cu_seq_lens_q`, from TRL's collator) say all. On cards from compute
capability 8.0 on it is one launch of the FlashAttention inside torch; elsewhere, the CPU included,
SDPA runs once a sample. Neither ever holds a mask of tokens times tokens.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import repeat_kv
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from runner.levers import VARLEN_CAPABILITY
from runner.plan import TrainingPlan

NAME = "trainbox_varlen"
# What some models ask of their attention and these kernels do not do.
UNSUPPORTED = ("softcap", "s_aux", "position_bias")

# Legend: B batch (1), H query heads, K key and value heads, T tokens, D head size


def lays_end_to_end(training: TrainingPlan) -> bool:
    """Return whether rows hold several samples; a lone one has no padding, and TRL warns."""
    is_free = training.levers.padding_free and training.micro_batch_size > 1
    return training.attn_implementation == "varlen" and (training.packing or is_free)


@dataclass(frozen=True)
class Kernel:
    """torch's varlen attention, and the arguments that this version of it takes."""

    call: Callable[..., Any]
    takes: frozenset[str]


_kernel: Kernel | None = None  # found once: compiled layers trace what is called in each of them


def register() -> None:
    """Make the attention known to transformers by its name."""
    global _kernel
    _kernel = _find_kernel()
    ALL_ATTENTION_FUNCTIONS.register(NAME, attend)


@contextmanager
def for_generation(model: Any) -> Iterator[None]:
    """Give a model SDPA, whose masks know caches and windows, and its own attention back."""
    planned = model.config._attn_implementation
    if planned != NAME:
        yield
        return
    model.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        model.set_attn_implementation(NAME)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,  # (B, H, T, D)
    key: torch.Tensor,  # (B, K, T, D)
    value: torch.Tensor,  # (B, K, T, D)
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each sample, causally; return (B, T, H, D).

    Args:
        cu_seq_lens_q: where samples begin, and the end, (samples + 1,).
        max_length_q: tokens of the longest sample.
        sliding_window: tokens a query sees, itself included; None is all before it.
    """
    assert cu_seq_lens_q is not None and max_length_q is not None, "rows are not laid end to end"
    assert attention_mask is None and not dropout, "samples laid end to end need neither"
    refused = [name for name in UNSUPPORTED if kwargs.get(name) is not None]
    if refused:
        raise ValueError(
            f"varlen attention has no {', '.join(refused)}: set speed.padding_free off"
        )
    if _has_kernel(query):
        out = _one_launch(query, key, value, cu_seq_lens_q, max_length_q, scaling, sliding_window)
    else:
        lengths = cu_seq_lens_q.diff().tolist()
        out = _each_sample(query, key, value, lengths, scaling, sliding_window)
    return out, None


def _has_kernel(query: torch.Tensor) -> bool:
    is_half = query.dtype in (torch.float16, torch.bfloat16)
    return query.is_cuda and is_half and _kernel is not None


def _find_kernel() -> Kernel | None:
    """Return torch's kernel where this machine's card runs it; torch before 2.10 has none."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < VARLEN_CAPABILITY:
        return None
    return Kernel(call=varlen_attn, takes=frozenset(inspect.signature(varlen_attn).parameters))


def _one_launch(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    borders: torch.Tensor,
    longest: int,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """Attend by torch's varlen kernel, whose arguments changed between 2.10 and 2.11."""
    assert _kernel is not None
    options: dict[str, Any] = {}
    if "window_size" in _kernel.takes:
        options["window_size"] = (-1 if window is None else window - 1, 0)
    elif window is not None and longest > window:
        raise ValueError("this torch's varlen attention has no sliding window")
    else:
        options["is_causal"] = True
    if "scale" in _kernel.takes:
        options["scale"] = scaling
    elif scaling is not None:
        query = query * (scaling * query.shape[-1] ** 0.5)  # the kernel divides by sqrt(D)
    if "enable_gqa" in _kernel.takes:
        options["enable_gqa"] = query.shape[1] != key.shape[1]
    else:
        repeats = query.shape[1] // key.shape[1]
        key, value = repeat_kv(key, repeats), repeat_kv(value, repeats)
    rows = (one.transpose(1, 2).flatten(0, 1) for one in (query, key, value))  # (T, heads, D)
    out: torch.Tensor = _kernel.call(*rows, borders, borders, longest, longest, **options)
    return out.view(query.shape[0], -1, *out.shape[1:])


def _each_sample(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: list[int],
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """Attend sample by sample."""
    repeats = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, repeats), repeat_kv(value, repeats)
    parts = zip(*(torch.split(one, lengths, dim=2) for one in (query, key, value)), strict=True)
    outs = []
    for q, k, v in parts:
        length = q.shape[2]
        mask = None
        if window is not None and length > window:
            seen = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
            mask = seen.triu(1 - window)
        out = scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, scale=scaling
        )
        outs.append(out.transpose(1, 2))
    return torch.cat(outs, dim=1)
