"""Three ways of attention over samples laid end to end, timed against each other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from runner.train.levers import attention

HEADS, KV_HEADS, HEAD_DIM = 32, 8, 128  # of Llama-3.1-8B
ROUNDS = 10


def compare(lengths: Sequence[int]) -> dict[str, Any]:
    """Return milliseconds forwards and backwards of each way, and how far their results lie apart.

    Args:
        lengths: tokens of each sample.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    torch.manual_seed(0)
    q, k, v = (
        torch.randn(1, heads, sum(lengths), HEAD_DIM, device=device, dtype=dtype).requires_grad_()
        for heads in (HEADS, KV_HEADS, KV_HEADS)
    )
    borders = torch.tensor([0, *lengths], device=device).cumsum(0).to(torch.int32)
    of = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)
    mask = (of[:, None] == of[None, :]).tril()

    def masked() -> torch.Tensor:
        out = scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        return out.transpose(1, 2)

    ways: dict[str, Callable[[], torch.Tensor]] = {
        "each sample": lambda: attention._each_sample(q, k, v, list(lengths), None, None),
        "block mask": masked,
    }
    if attention._has_kernel(q):
        ways["varlen"] = lambda: attention._one_launch(q, k, v, borders, max(lengths), None, None)
    expected = masked().detach().float()
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "lengths": list(lengths),
        "milliseconds": {name: _milliseconds(way) for name, way in ways.items()},
        "largest_difference": {
            name: float((way().detach().float() - expected).abs().max())
            for name, way in ways.items()
        },
    }


def _milliseconds(way: Callable[[], torch.Tensor]) -> float:
    found = []
    for _ in range(ROUNDS):
        _wait()
        started = time.perf_counter()
        way().sum().backward()
        _wait()
        found.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(found), 3)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
