"""A 4-bit base held dequantised: the same values, without unpacking them in every pass.

What the adapter learns is an adapter of the 4-bit base either way. Costs the memory of a base that
is not quantised; saves a dequantisation a layer in each forward and backward pass, and one a token
in generation.
"""

from __future__ import annotations

import torch
from bitsandbytes.nn.modules import Linear4bit

from runner.train.levers.adapters import base_weight


def hold_dequantised(model: torch.nn.Module) -> int:
    """Replace every 4-bit layer by a plain one with the same values; return how many there were."""
    layers = [(name, one) for name, one in model.named_modules() if isinstance(one, Linear4bit)]
    for name, layer in layers:
        assert layer.compute_dtype is not None
        with torch.device("meta"):
            plain = torch.nn.Linear(layer.in_features, layer.out_features, bias=False)
        weight = base_weight(layer, layer.compute_dtype)
        plain.weight = torch.nn.Parameter(weight, requires_grad=False)
        plain.bias = layer.bias
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, plain)
    return len(layers)
