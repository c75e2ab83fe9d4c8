"""The work of a step in floating-point operations, from architecture and settings."""

from __future__ import annotations

from dataclasses import dataclass

from runner.forecast.cards import Speed
from runner.memory.architecture import Architecture
from runner.memory.parameters import layer_linears
from runner.memory.settings import Settings
from runner.memory.weights import adapter_tensors

# Kernels a layer launches in forward and backward pass with adapters, and again where it is
# recomputed; and the seconds of Python and driver that a launch takes. While they take longer than
# the kernels, the card waits.
LAUNCHES, LAUNCHES_AGAIN = 117, 48
LAUNCH_SECONDS = (5e-6, 15e-6)
DEQUANTISE_BYTES = 2.52  # read and written for a 4-bit weight to become a 16-bit one
DEQUANTISE_SHARE = 0.7  # of the memory's speed that this gets


@dataclass(frozen=True, kw_only=True)
class Work:
    """Floating-point operations a token, and what a micro step costs besides."""

    flops_per_token: float
    dequantised: float  # weights, all passes of a micro step together
    launches: float  # of kernels in a micro step

    def seconds(self, tokens: float, micro_steps: float, speed: Speed) -> tuple[float, float]:
        """Return the least and the most time that so many tokens in so many micro steps take.

        Args:
            tokens: padding included.
        """
        traffic = micro_steps * self.dequantised * DEQUANTISE_BYTES
        traffic /= speed.bytes_per_second * DEQUANTISE_SHARE
        flops = tokens * self.flops_per_token / speed.flops
        launched = micro_steps * self.launches
        least, most = LAUNCH_SECONDS
        return (
            max(flops / speed.most_share + traffic, launched * least),
            max(flops / speed.least_share + traffic, launched * most),
        )


def training_work(arch: Architecture, settings: Settings, mean_length: float) -> Work:
    """Return the work of training on a token, recomputation included.

    Forward 2 operations a weight and token, 2 more for the input's gradient and 2 for the
    weight's where it is trained; causal attention 2 S q a layer forward, 2.5 times that backward.

    Args:
        mean_length: tokens of a sample: how far back attention looks.
    """
    again = {"off": 0.0, "every_n": 1 / settings.every_n, "full": 1.0}[settings.checkpointing]
    trained = 0.0 if settings.trains_adapter else 1.0
    body, head = _weights_used(arch)
    adapters = float(sum(a + b for a, b in adapter_tensors(arch, settings)))
    attention = 2 * mean_length * arch.q * arch.num_layers
    flops = (
        2 * body * (2 + trained + again)
        + 2 * head * (3 + trained)  # TRL's head computes its logits twice
        + 2 * adapters * (3 + again)
        + attention * (3.5 + again)
    )
    if settings.stage == "dpo":  # the reference model's forward pass
        flops += 2 * (body + head) + attention
    is_packed = settings.quantization is not None
    return Work(
        flops_per_token=flops,
        dequantised=body * (2 + again) if is_packed else 0.0,
        launches=arch.num_layers * (LAUNCHES + LAUNCHES_AGAIN * again),
    )


def _weights_used(arch: Architecture) -> tuple[float, float]:
    """Return the weights a token meets in all layers, and in the head."""
    share = arch.experts_per_token / arch.num_experts if arch.num_experts else 1.0
    layer = sum(
        linear.numel * (share if linear.is_expert and linear.name != "gate" else 1.0)
        for linear in layer_linears(arch)
    )
    return layer * arch.num_layers, float(arch.vocab * arch.hidden)


def forward_share(arch: Architecture, settings: Settings, mean_length: float) -> float:
    """Return the work of a forward pass alone, as a share of training's: what evaluating costs."""
    body, head = _weights_used(arch)
    forward = 2 * (body + head) + 2 * mean_length * arch.q * arch.num_layers
    return forward / training_work(arch, settings, mean_length).flops_per_token
