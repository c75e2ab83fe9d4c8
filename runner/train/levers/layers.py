"""Liger's kernels inside a model's layers: RMSNorm, rotary positions, SwiGLU, each one launch.

The tiled MLP is left alone (half the memory for more than a third more time, and a 4-bit base would
be unpacked for each tile), and so is Liger's loss: the head is ours or TRL's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transformers import PreTrainedModel


def use_layer_kernels(model: PreTrainedModel) -> None:
    """Let the layers of a model run on Liger's kernels; it must lie on a card."""
    # only the locks for cards have it
    from liger_kernel.transformers import monkey_patch  # type: ignore[import-not-found]

    appliers: Mapping[str, Callable[..., Any]] = monkey_patch.MODEL_TYPE_TO_APPLY_LIGER_FN
    appliers[model.config.model_type](
        rope=True,
        rms_norm=True,
        swiglu=True,
        cross_entropy=False,
        fused_linear_cross_entropy=False,
        model=model,
    )
