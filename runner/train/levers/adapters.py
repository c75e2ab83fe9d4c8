"""Adapter and base layer as one function: no copy of the output, no pass to scale or to add it.

PEFT computes `clone(base(x)) + lora_B(lora_A(x)) * scale`: four passes over the output forwards,
two backwards, and one over the input to sum its two gradients. Here the products accumulate where
the result already lies. Rounded once where PEFT rounds several times; in float32 the same to the
last few bits.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from bitsandbytes import functional
from bitsandbytes.nn.modules import Linear4bit
from peft.tuners.lora.bnb import Linear4bit as Adapted4bit
from peft.tuners.lora.layer import Linear as AdaptedLinear
from peft.tuners.lora.layer import LoraLayer

# Legend: N tokens, I inputs, O outputs, R rank


class AdaptedProduct(torch.autograd.Function):
    """`x W^T + bias + scale (x A^T) B^T` for a frozen W (O, I), A (R, I) and B (O, R)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,  # (N, I)
        layer: torch.nn.Module,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        weight, bias = base_weight(layer, x.dtype), getattr(layer, "bias", None)
        out = torch.mm(x, weight.t())
        if bias is not None:
            out += bias.to(x.dtype)
        narrow = torch.mm(x, a.to(x.dtype).t())  # (N, R)
        out.addmm_(narrow, b.to(x.dtype).t(), alpha=scale)
        ctx.save_for_backward(x, narrow, a, b)
        ctx.layer, ctx.scale = layer, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        (grad,) = grads
        x, narrow, a, b = ctx.saved_tensors
        grad_narrow = torch.mm(grad, b.to(grad.dtype)).mul_(ctx.scale)
        grad_a = torch.mm(grad_narrow.t(), x).to(a.dtype)
        grad_b = torch.mm(grad.t(), narrow).mul_(ctx.scale).to(b.dtype)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.mm(grad, base_weight(ctx.layer, grad.dtype))
            grad_x.addmm_(grad_narrow, a.to(grad.dtype))
        return grad_x, None, grad_a, grad_b, None


def base_weight(layer: torch.nn.Module, dtype: torch.dtype) -> torch.Tensor:
    """Return the weight (O, I) of a linear layer, dequantised where it is in 4 bit."""
    weight: Any = layer.weight
    if isinstance(layer, Linear4bit):
        weight = functional.dequantize_4bit(weight.data, weight.quant_state)
    return weight.to(dtype)  # type: ignore[no-any-return]


def fuse_adapters(model: torch.nn.Module) -> int:
    """Let every plain LoRA layer of a model run as one function; return how many do.

    Left alone are layers with dropout, DoRA, a bias of their own or several adapters.
    """
    layers = [module for module in model.modules() if _is_plain(module)]
    for layer in layers:
        layer.forward = types.MethodType(_forward, layer)
    return len(layers)


def leave_inputs_uncast(model: torch.nn.Module) -> None:
    """Let no LoRA layer copy its input to the adapter's float32, which autocast would undo."""
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False


def _is_plain(module: torch.nn.Module) -> bool:
    if not isinstance(module, (AdaptedLinear, Adapted4bit)):
        return False
    names = module.active_adapters
    return (
        len(names) == 1
        and names[0] in module.lora_A
        and not module.lora_variant
        and not module.lora_bias[names[0]]
        and isinstance(module.lora_dropout[names[0]], torch.nn.Identity)
        and not getattr(module, "fan_in_fan_out", False)
        and isinstance(module.get_base_layer(), torch.nn.Linear)
    )


def _forward(self: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    if self.disable_adapters or self.merged or not torch.is_grad_enabled() or args or kwargs:
        return type(self).forward(self, x, *args, **kwargs)  # type: ignore[no-any-return]
    name, layer = self.active_adapters[0], self.get_base_layer()
    dtype, device = x.dtype, x.device.type
    if isinstance(layer, Linear4bit) and layer.compute_dtype is not None:
        x = x.to(layer.compute_dtype)
    elif torch.is_autocast_enabled(device):
        x = x.to(torch.get_autocast_dtype(device))
    out: torch.Tensor = AdaptedProduct.apply(  # type: ignore[no-untyped-call]
        x.reshape(-1, x.shape[-1]),
        layer,
        self.lora_A[name].weight,
        self.lora_B[name].weight,
        self.scaling[name],
    ).view(*x.shape[:-1], -1)
    return out.to(dtype) if isinstance(layer, Linear4bit) else out
