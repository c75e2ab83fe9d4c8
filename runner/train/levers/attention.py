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
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NAME = "trainbox_varlen"
# What some models ask of their attention and these kernels do not do.
UNSUPPORTED = ("softcap", "s_aux", "position_bias")

# Legend: B batch (1), H query heads, K key and value heads, T tokens, D head size


def register() -> None:
    """Make the kernel known to transformers by its name."""
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
        cu_seq_lens_q: where samples begin, and the end, (samples + 1,); None is one sample a row.
        sliding_window: tokens a query sees, itself included; None is all before it.
    """
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    assert attention_mask is None and not dropout, "samples laid end to end need neither"
    refused = [name for name in UNSUPPORTED if kwargs.get(name) is not None]
    if refused:
        raise ValueError(
            f"varlen attention has no {', '.join(refused)}: set speed.padding_free off"
        )
    if _has_kernel(query):
        assert max_length_q is not None
        out = _one_launch(query, key, value, cu_seq_lens_q, max_length_q, scaling, sliding_window)
    else:
        lengths = cu_seq_lens_q.diff().tolist()
        out = _each_sample(query, key, value, lengths, scaling, sliding_window)
    return out, None


def _has_kernel(query: torch.Tensor) -> bool:
    return (
        query.is_cuda
        and query.dtype in (torch.float16, torch.bfloat16)
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
        and _varlen_attn() is not None
    )


def _varlen_attn() -> Callable[..., torch.Tensor] | None:
    """Return torch's kernel; None before torch 2.10."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn  # type: ignore[no-any-return, unused-ignore]


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
    kernel = _varlen_attn()
    assert kernel is not None
    known = inspect.signature(kernel).parameters
    options: dict[str, Any] = {}
    if "window_size" in known:
        options["window_size"] = (-1 if window is None else window - 1, 0)
    elif window is not None and longest > window:
        raise ValueError("this torch's varlen attention has no sliding window")
    else:
        options["is_causal"] = True
    if "scale" in known:
        options["scale"] = scaling
    elif scaling is not None:
        query = query * (scaling * query.shape[-1] ** 0.5)  # the kernel divides by sqrt(D)
    if "enable_gqa" in known:
        options["enable_gqa"] = query.shape[1] != key.shape[1]
    else:
        repeats = query.shape[1] // key.shape[1]
        key, value = repeat_kv(key, repeats), repeat_kv(value, repeats)
    rows = (one.transpose(1, 2).flatten(0, 1) for one in (query, key, value))  # (T, heads, D)
    out = kernel(*rows, borders, borders, longest, longest, **options)
    return out.unflatten(0, (query.shape[0], -1))


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
    parts = zip(*(one.split(lengths, dim=2) for one in (query, key, value)), strict=True)
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
