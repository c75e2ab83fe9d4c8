"""Pull the levers of a plan on a built trainer; those on data and loading are pulled there."""

from __future__ import annotations

from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel

from runner.plan import Plan
from runner.train.levers.adapters import fuse_adapters, leave_inputs_uncast
from runner.train.levers.head import use_one_pass_head
from runner.train.levers.layers import use_layer_kernels


def pull(trainer: Any, plan: Plan) -> None:
    """Change how a trainer's model computes, never what."""
    levers, model = plan.training.levers, base_of(trainer.model)
    if levers.loss_head == "one_pass":
        use_one_pass_head(model)
    if levers.fused_adapters:
        fuse_adapters(trainer.model)
    if levers.uncast_inputs:
        leave_inputs_uncast(trainer.model)
    if levers.layer_kernels:
        use_layer_kernels(model)
    if levers.compile:
        compile_layers(model)


def base_of(model: Any) -> PreTrainedModel:
    """Return the model that an adapter sits in, or the model itself."""
    base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    return base  # type: ignore[no-any-return]


def compile_layers(model: PreTrainedModel, backend: str = "inductor") -> None:
    """Compile every decoder layer: equal layers share one compilation, whatever the length.

    The whole model would be compiled for minutes longer, and anew for each graph break.
    """
    layers: Any = model.base_model.layers
    for layer in layers:
        layer.compile(dynamic=True, backend=backend)
