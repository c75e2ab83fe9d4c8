"""Bytes of what stays on the device from the first step to the last."""

from __future__ import annotations

from dataclasses import replace

from runner.memory.architecture import Architecture
from runner.memory.parameters import (
    Linear,
    all_linears,
    layer_linears,
    num_embedding_parameters,
    num_norm_parameters,
    num_parameters,
    vision_linears,
)
from runner.memory.settings import FLOAT32, Settings

BLOCK_4BIT = 64  # weights that share a constant (bitsandbytes, block-wise)
BLOCK_NESTED = 256  # constants that share a second one (double quantisation)
STATES_8BIT = 2 + 2 * FLOAT32 / 256  # two bytes, and two constants a block of 256
SMALL_8BIT = 4096  # tensors below keep float32 states (bitsandbytes)


def weight_bytes(arch: Architecture, settings: Settings) -> float:
    """Return the bytes of the base model as training holds it."""
    if settings.quantization is None:
        return float(num_parameters(arch) * settings.weight_itemsize)
    linears = all_linears(arch)
    packed = [linear for linear in linears if _is_packed(linear, settings)]
    wide = FLOAT32 if settings.upcasts_for_kbit else settings.weight_itemsize
    experts = sum(linear.numel for linear in linears if not _is_packed(linear, settings))
    # A bias of a 4-bit layer is cast to the computation's type.
    biases = sum(linear.outputs for linear in linears if linear.has_bias)
    embedding = settings.weight_itemsize if settings.recasts_embeddings else wide
    return (
        sum(_packed_bytes(linear, settings) for linear in packed)
        + num_embedding_parameters(arch) * embedding
        + (num_norm_parameters(arch) + arch.vision_extra) * wide
        + experts * settings.weight_itemsize
        + biases * settings.weight_itemsize
    )


def _is_packed(linear: Linear, settings: Settings) -> bool:
    """bitsandbytes packs modules: experts that are slices of one parameter are none."""
    return settings.has_linear_experts or not linear.is_expert


def _packed_bytes(linear: Linear, settings: Settings) -> float:
    assert settings.quantization is not None
    if settings.quantization.bits == 8:  # LLM.int8: a constant a row
        return linear.numel + linear.outputs * FLOAT32
    constants = linear.numel / BLOCK_4BIT
    if settings.quantization.double_quant:
        return linear.numel / 2 + constants * (1 + FLOAT32 / BLOCK_NESTED)
    return linear.numel / 2 + constants * FLOAT32


def cast_bytes(arch: Architecture, settings: Settings) -> float:
    """Return the bytes of one layer's trained weights cast for autocast, 0 where none are."""
    if settings.trains_adapter or not settings.autocast:
        return 0.0
    if settings.weight_itemsize == settings.compute_itemsize:
        return 0.0
    return sum(linear.numel for linear in layer_linears(arch)) * settings.compute_itemsize


def adapter_tensors(arch: Architecture, settings: Settings) -> list[tuple[int, int]]:
    """Return the elements of each pair of adapter matrices (A, B), over all layers."""
    adapter = settings.adapter
    if adapter is None:
        return []
    if adapter.targets is None:
        linears = [linear for linear in layer_linears(arch) if not linear.is_expert]
        vision = vision_linears(arch)
    else:
        names = set(adapter.targets)
        linears = [linear for linear in layer_linears(arch) if linear.name in names]
        vision = [linear for linear in vision_linears(arch) if linear.name in names]
    pairs = [(adapter.r * linear.inputs, adapter.r * linear.outputs) for linear in linears]
    pairs *= arch.num_layers
    pairs += [(adapter.r * linear.inputs, adapter.r * linear.outputs) for linear in vision]
    if adapter.targets is None and settings.has_linear_experts:
        experts = [linear for linear in layer_linears(arch) if linear.is_expert]
        pairs += [_module_pair(linear, adapter.r) for linear in experts] * arch.num_layers
    elif adapter.targets is None:
        pairs += _expert_pairs(arch, adapter.r) * arch.num_layers
    if adapter.targets is not None and "lm_head" in adapter.targets:
        pairs.append((adapter.r * arch.hidden, adapter.r * arch.vocab))
    return pairs


def _expert_pairs(arch: Architecture, r: int) -> list[tuple[int, int]]:
    """peft's `all-linear` adapts router and experts too; gate and up share twice the rank."""
    if not arch.num_experts:
        return []
    num, h, f = arch.num_experts, arch.hidden, arch.intermediate
    return [(r * h, r * num), (2 * r * num * h, 2 * r * num * 2 * f), (r * num * f, r * num * h)]


def _module_pair(linear: Linear, r: int) -> tuple[int, int]:
    """Return the pair of a module; gate and up are two, each with its own A."""
    parts = 2 if linear.name == "gate_up_proj" else 1
    return parts * r * linear.inputs, r * linear.outputs


def num_trained(arch: Architecture, settings: Settings) -> int:
    """Return how many parameters are trained."""
    if settings.trains_adapter:
        return sum(a + b for a, b in adapter_tensors(arch, settings)) + _dora(arch, settings)
    return num_parameters(arch)


def num_updated(arch: Architecture, settings: Settings) -> int:
    """Return how many of them text reaches: an image tower gets no gradient, and no states."""
    if arch.vision is None:
        return num_trained(arch, settings)
    return num_trained(replace(arch, vision=None, vision_extra=0), settings)


def _dora(arch: Architecture, settings: Settings) -> int:
    """DoRA's magnitudes: one number an output."""
    if settings.adapter is None or not settings.adapter.use_dora:
        return 0
    r = settings.adapter.r
    return sum(b // r for _, b in adapter_tensors(arch, settings))


def trained_itemsize(settings: Settings) -> int:
    """Return the bytes an element of what is trained."""
    return settings.adapter.itemsize if settings.adapter else settings.weight_itemsize


def gradient_bytes(arch: Architecture, settings: Settings) -> float:
    """Return the bytes of all gradients."""
    return float(num_updated(arch, settings) * trained_itemsize(settings))


def optimizer_bytes(arch: Architecture, settings: Settings) -> float:
    """Return the bytes of the optimiser's states, master weights included."""
    num, kind = num_updated(arch, settings), settings.optimizer
    itemsize = settings.state_itemsize or trained_itemsize(settings)
    master = num * FLOAT32 if settings.has_master_weights else 0
    if "8bit" in kind:
        tensors = adapter_tensors(arch, settings)
        small = sum(n for pair in tensors for n in pair if n < SMALL_8BIT)
        return (num - small) * STATES_8BIT + small * 2 * FLOAT32 + master
    if kind in ("adamw_bnb_32bit", "paged_adamw_32bit"):
        return float(num * 2 * FLOAT32 + master)
    if kind == "sgd":
        return float(master)
    if kind == "adafactor":
        return float(master)  # a row and a column a matrix
    return float(num * 2 * itemsize + master)


def step_bytes(arch: Architecture, settings: Settings) -> float:
    """Return the bytes alive only while the optimiser steps.

    torch's default (foreach) makes one temporary of the size of all trained parameters; the fused
    one and bitsandbytes make none.
    """
    if settings.optimizer in ("adamw_torch", "sgd"):
        return float(num_updated(arch, settings) * trained_itemsize(settings))
    return 0.0
