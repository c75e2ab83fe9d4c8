"""Device memory of a run: components, the moments of a step, and the largest of them."""

from __future__ import annotations

from dataclasses import dataclass

from runner.memory import weights
from runner.memory.activations import Activations, measure_activations
from runner.memory.architecture import Architecture
from runner.memory.outside import Outside, outside_bytes, workspace_bytes
from runner.memory.parameters import num_embedding_parameters
from runner.memory.settings import Settings

STAYS = ("weights", "adapters", "optimizer", "reference", "workspace")


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One point of a step, and what is alive at it."""

    name: str
    components: dict[str, float]  # bytes

    @property
    def total_bytes(self) -> float:
        """All components."""
        return sum(self.components.values())


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The predicted peak of a run on one card."""

    moments: tuple[Moment, ...]
    outside: Outside

    @property
    def peak(self) -> Moment:
        """The moment that needs the most."""
        return max(self.moments, key=lambda moment: moment.total_bytes)

    @property
    def allocated_bytes(self) -> int:
        """As torch.cuda.max_memory_allocated."""
        return round(self.peak.total_bytes)

    @property
    def reserved_bytes(self) -> int:
        """As torch.cuda.max_memory_reserved, where the card has room."""
        return round(self.allocated_bytes + self.outside.slack_bytes)

    @property
    def device_bytes(self) -> int:
        """As nvidia-smi shows for the process."""
        return round(self.reserved_bytes + self.outside.context_bytes)

    @property
    def least_bytes(self) -> int:
        """Below this the run cannot work: the allocator gives back all slack it can."""
        return round(self.allocated_bytes + self.outside.context_bytes)


def estimate(
    arch: Architecture, settings: Settings, capability: tuple[int, int] | None = None
) -> Estimate:
    """Predict the peak of one training step.

    Args:
        capability: compute capability of the card; None for an unknown one.
    """
    activations = measure_activations(arch, settings)
    moments = tuple(_moments(arch, settings, activations, workspace_bytes(settings, capability)))
    peak = max(moments, key=lambda moment: moment.total_bytes)
    moving = sum(value for name, value in peak.components.items() if name not in STAYS)
    return Estimate(moments=moments, outside=outside_bytes(moving, settings, capability))


def _moments(
    arch: Architecture, settings: Settings, activations: Activations, workspace: float
) -> list[Moment]:
    stays = {
        "weights": weights.weight_bytes(arch, settings),
        "adapters": weights.num_trained(arch, settings) * weights.trained_itemsize(settings)
        if settings.trains_adapter
        else 0.0,
        "optimizer": weights.optimizer_bytes(arch, settings),
        "reference": _reference_bytes(arch, settings),
        "workspace": workspace,
    }
    gradients = weights.gradient_bytes(arch, settings)
    if settings.steps_in_backward:
        gradients = 0.0
    before = gradients if settings.accumulates else 0.0
    cast = weights.cast_bytes(arch, settings)
    all_cast = cast * arch.num_layers
    kept_cast = all_cast if settings.checkpointing == "off" else 0.0
    head = _head_gradient_bytes(arch, settings)
    kept = activations.kept_bytes

    def moment(name: str, grads: float, used: float, component: str) -> Moment:
        components = stays | {
            "gradients": grads,
            "activations": min(kept, used),
            component: max(0.0, used - kept),
        }
        return Moment(name=name, components=components)

    backward = activations.backward_bytes + max(kept_cast, cast)
    last = max(before, gradients - _last_gradient_bytes(arch, settings))
    found = [
        Moment(
            name="load",
            components={"weights": stays["weights"], "load": _load_bytes(arch, settings)},
        ),
        moment("forward", before, activations.forward_bytes + all_cast, "layer"),
        moment("loss", before, activations.loss_bytes + kept_cast, "loss_head"),
        moment("backward", max(before, head), backward, "layer"),
        moment("backward_end", last, activations.backward_end_bytes + cast, "layer"),
        Moment(
            name="embedding",
            components=stays
            | {"gradients": gradients, "loss_head": _embedding_bytes(arch, settings)},
        ),
        Moment(
            name="step",
            components=stays
            | {"gradients": gradients, "optimizer_step": weights.step_bytes(arch, settings)},
        ),
        moment("evaluation", 0.0, activations.inference_bytes + all_cast, "layer"),
    ]
    if settings.stage == "dpo" and not settings.precomputes_reference:
        found.append(moment("reference", before, kept + activations.inference_bytes, "layer"))
    return found


def _reference_bytes(arch: Architecture, settings: Settings) -> float:
    """DPO without adapters keeps a frozen copy of the model."""
    if settings.stage != "dpo" or settings.trains_adapter or settings.precomputes_reference:
        return 0.0
    return weights.weight_bytes(arch, settings)


def _head_gradient_bytes(arch: Architecture, settings: Settings) -> float:
    if settings.trains_adapter or settings.steps_in_backward:
        return 0.0
    return float(arch.vocab * arch.hidden * settings.weight_itemsize)


def _last_gradient_bytes(arch: Architecture, settings: Settings) -> float:
    """The gradients of the first layer and the embedding, which come last."""
    if settings.trains_adapter or settings.steps_in_backward:
        return 0.0
    embedding = 0 if arch.is_tied else arch.vocab * arch.hidden
    layers = weights.num_updated(arch, settings) - num_embedding_parameters(arch)
    return float((embedding + layers / arch.num_layers) * settings.weight_itemsize)


def _embedding_bytes(arch: Architecture, settings: Settings) -> float:
    """The last gradient of full fine-tuning; a tied matrix has two, and their sum is a third."""
    if settings.trains_adapter:
        return 0.0
    matrix = float(arch.vocab * arch.hidden * settings.weight_itemsize)
    rows = float(settings.tokens * arch.hidden * settings.stream_itemsize)
    return rows + (2 * matrix if arch.is_tied else 0.0)


def _load_bytes(arch: Architecture, settings: Settings) -> float:
    """While quantising, one matrix more stands there in 16 bits."""
    if settings.quantization is None:
        return 0.0
    return float(arch.vocab * arch.hidden * settings.weight_itemsize)
