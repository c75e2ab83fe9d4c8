"""What a card holds beside the tensors: context, library workspaces, allocator slack."""

from __future__ import annotations

from dataclasses import dataclass

from runner.memory.settings import Settings

MIB = 2**20
# cuBLAS: 8 MiB and a little a handle and stream before Hopper, 32 MiB on it and with the
# deterministic setting :4096:8 (torch, aten/src/ATen/cuda/CublasHandlePool.cpp); the forward and
# the autograd thread hold one each.
WORKSPACE = 2 * 8.125 * MIB
LARGE_WORKSPACE = 2 * 32 * MIB
HOPPER = (9, 0)
# Bytes that nvidia-smi shows above max_memory_reserved: measured on a T4 with torch 2.10 and 2.14
# (140.9 MiB); no public number for other cards, which load more kernels: half a GiB.
CONTEXT_T4 = 141 * MIB
CONTEXT_OTHER = 512 * MIB
# Reserved above allocated, as a share of what comes and goes in a step (medians of the measured
# points, docs/memory.md): logits in one piece leave holes that nothing else fills.
SLACK_FULL_LOGITS = 0.33
SLACK_FUSED = 0.12
FULL_LOGITS = ("hf", "inplace", "chunked")


@dataclass(frozen=True, kw_only=True)
class Outside:
    """Bytes on the card that are no tensors."""

    context_bytes: float
    slack_bytes: float


def workspace_bytes(settings: Settings, capability: tuple[int, int] | None) -> float:
    """Return what cuBLAS allocates through torch; it counts as allocated."""
    is_large = settings.is_deterministic or (capability is not None and capability >= HOPPER)
    return LARGE_WORKSPACE if is_large else WORKSPACE


def outside_bytes(moving: float, settings: Settings, capability: tuple[int, int] | None) -> Outside:
    """Return context and expected slack.

    Args:
        moving: bytes of the peak that come and go in each step: activations, gradients.
    """
    share = SLACK_FULL_LOGITS if settings.head.startswith(FULL_LOGITS) else SLACK_FUSED
    context = CONTEXT_T4 if capability == (7, 5) else CONTEXT_OTHER
    return Outside(context_bytes=context, slack_bytes=moving * share)
