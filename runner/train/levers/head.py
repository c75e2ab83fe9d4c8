"""The output head in one pass: two products a scored token instead of three, and no metrics.

The gradient of a token's log-probability with respect to its hidden state h is, times whatever
comes from above, `W[target] - softmax(W h) W`. All of it is known when the logits are, so it is
made then, and no tile of logits is computed a second time for the backward pass. Only tokens that
carry loss are scored. TRL's head does neither on a CPU, and measures entropy and accuracy of each
token beside it, which nothing here reads.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput, add_fused_lm_head

TILE_TOKENS = 256  # logits of one tile: 50 MB for 49,152 words, measured best of 64 to 1024

# Legend: N scored tokens, H hidden size, V vocabulary


class LogProbs(torch.autograd.Function):
    """Log-probabilities (N,) of targets (N,) from hidden states (N, H) and head weight (V, H)."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
    ) -> torch.Tensor:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        dtype = dtype or hidden.dtype
        weight = weight.to(dtype)
        log_probs = hidden.new_empty(len(hidden), dtype=torch.float32)
        needs_grad = ctx.needs_input_grad[0]
        grad = torch.empty_like(hidden) if needs_grad else None
        for start in range(0, len(hidden), TILE_TOKENS):
            tile = slice(start, start + TILE_TOKENS)
            # torch.mm, not linear: for each token alone, oneDNN and MKL would round otherwise
            logits = torch.mm(hidden[tile].to(dtype), weight.t()).float()
            if bias is not None:
                logits += bias
            chosen = logits.gather(1, targets[tile, None]).squeeze(1)
            highest = logits.amax(dim=1)
            exps = logits.sub_(highest[:, None]).exp_()
            total = exps.sum(dim=1)
            log_probs[tile] = chosen - highest - total.log()
            if grad is not None:
                expected = torch.mm(exps.to(dtype), weight).float().div_(total[:, None])
                grad[tile] = weight[targets[tile]].float().sub_(expected)
            del logits, exps  # before the next tile's are made
        ctx.save_for_backward(*([grad] if grad is not None else []))
        return log_probs

    @staticmethod
    def backward(ctx: Any, *outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (from_above,) = outputs
        (grad,) = ctx.saved_tensors
        return (grad * from_above[:, None]).to(grad.dtype), None, None, None


def use_one_pass_head(model: PreTrainedModel) -> None:
    """Let `model(..., labels=…, fused_lm_head=True)` score its tokens in one pass.

    Args:
        model: with TRL's fused head, whose other calls stay as they are; its head is frozen.
    """
    others = model.forward

    def forward(self: Any, *args: Any, fused_lm_head: bool = False, **kwargs: Any) -> Any:
        if not fused_lm_head:
            return others(*args, **kwargs)
        labels = kwargs.pop("labels")[:, 1:]
        hidden = self.base_model(*args, **kwargs).last_hidden_state[:, :-1]
        mask = labels != -100
        head = self.get_output_embeddings()
        log_probs = LogProbs.apply(hidden[mask], head.weight, head.bias, labels[mask])  # type: ignore[no-untyped-call]
        # masked_scatter stays connected to the model even where no token is scored
        spread = log_probs.new_zeros(mask.shape).masked_scatter(mask, log_probs)
        return FusedCausalLMOutput(log_probs=spread, label_mask=mask)

    model.forward = types.MethodType(forward, model)


def use_bare_trl_head(model: PreTrainedModel) -> None:
    """Let TRL's fused head return log-probabilities alone: no entropy, no accuracy."""
    del model.forward  # TRL's, set on the instance; the class's own is below it
    add_fused_lm_head(model, outputs=("log_probs",))
