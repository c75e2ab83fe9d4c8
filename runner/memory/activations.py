"""Activations of one step: the last layers and the loss on a tape, the rest by counting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from runner.memory.architecture import Architecture
from runner.memory.head import Head
from runner.memory.layer import Layer
from runner.memory.settings import Settings
from runner.memory.tape import Tape, Tensor


@dataclass(frozen=True, kw_only=True)
class Activations:
    """Bytes alive beside weights, optimiser and gradients, by moment of the step."""

    kept_bytes: float  # by all layers, when the forward pass reaches the head
    forward_bytes: float
    loss_bytes: float
    backward_bytes: float  # in the last layer, where the backward pass begins
    backward_end_bytes: float  # in the first layer, where it ends
    inference_bytes: float  # of a forward pass that keeps nothing: evaluation, DPO's reference


@cache
def measure_activations(arch: Architecture, settings: Settings) -> Activations:
    """Run the end of the model forwards and backwards on a tape.

    Layers are alike: the last two are run, below them one that is recomputed where neither is, and
    what the others keep is counted.
    """
    flags = [_is_checkpointed(settings, index) for index in range(arch.num_layers)]
    run = flags[-2:] if any(flags[-2:]) or not any(flags) else [True, *flags[-2:]]
    tape = Tape()
    layer, head = Layer(tape, arch, settings), Head(tape, arch, settings)
    mask = _mask(tape, settings)
    x = tape.leaf(float(settings.tokens) * arch.hidden, settings.stream_itemsize)
    embedded = before_last = tape.live
    kept: dict[bool, float] = {}
    for is_checkpointed in run:
        before_last = tape.live
        x = _run(tape, layer, x, is_checkpointed)
        kept[is_checkpointed] = tape.live - before_last
    elsewhere = sum(kept[flag] for flag in flags) - sum(kept[flag] for flag in run)
    if settings.offloads_checkpoints:
        elsewhere = 0.0
    forward_peak, at_head = tape.peak, tape.live

    tape.peak = tape.live
    below = x.node
    assert below is not None
    hidden = layer.norm(tape.detached(x))
    del x
    loss = head(hidden)
    del hidden
    assert loss.node is not None
    grad = tape.backward(loss.node, loss)
    del loss
    loss_peak = tape.peak
    assert grad is not None

    tape.peak = tape.live
    tape.backward(below, grad)
    del mask, head
    return Activations(
        kept_bytes=elsewhere + at_head,
        forward_bytes=elsewhere + forward_peak,
        loss_bytes=elsewhere + loss_peak,
        backward_bytes=elsewhere + tape.peak,
        backward_end_bytes=tape.peak - (before_last - embedded),
        inference_bytes=_inference_bytes(arch, settings),
    )


def _inference_bytes(arch: Architecture, settings: Settings) -> float:
    tape = Tape()
    layer, head = Layer(tape, arch, settings), Head(tape, arch, settings)
    with tape.no_grad():
        x = tape.new(float(settings.tokens) * arch.hidden, settings.stream_itemsize)
        x = layer(x)
        head(layer.norm(x))
    return tape.peak


def _mask(tape: Tape, settings: Settings) -> Tensor | None:
    """The boolean mask that all layers share, where attention needs one."""
    if settings.attention != "masked":
        return None
    return tape.new(float(settings.rows) * settings.length**2, 1)


def _run(tape: Tape, layer: Layer, x: Tensor, is_checkpointed: bool) -> Tensor:
    return tape.checkpoint(layer, x) if is_checkpointed else layer(x)


def _is_checkpointed(settings: Settings, index: int) -> bool:
    if settings.checkpointing == "every_n":
        return index % settings.every_n == 0
    return settings.checkpointing == "full"
