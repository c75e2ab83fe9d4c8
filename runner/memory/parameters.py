"""The parameters of a decoder: which matrices, how large, how many."""

from __future__ import annotations

from dataclasses import dataclass

from runner.memory.architecture import Architecture


@dataclass(frozen=True, kw_only=True)
class Linear:
    """One kind of linear module."""

    name: str  # last name of its path, as adapters target it
    inputs: int
    outputs: int
    has_bias: bool = False
    is_expert: bool = False  # part of a 3-D parameter: no adapter sits on it, bitsandbytes skips it

    @property
    def numel(self) -> int:
        """Elements of the matrix, the bias left out."""
        return self.inputs * self.outputs


def layer_linears(arch: Architecture) -> list[Linear]:
    """Return the linear modules of one layer, in the order of the forward pass."""
    return [*_attention(arch), *_mlp(arch)]


def _attention(arch: Architecture) -> list[Linear]:
    h, q, kv, bias = arch.hidden, arch.q, arch.kv, arch.has_qkv_bias
    last = Linear(
        name="dense" if arch.model_type == "phi" else "o_proj",
        inputs=q, outputs=h, has_bias=arch.has_o_bias,
    )  # fmt: skip
    if arch.is_fused:
        return [Linear(name="qkv_proj", inputs=h, outputs=q + 2 * kv, has_bias=bias), last]
    return [
        Linear(name="q_proj", inputs=h, outputs=q, has_bias=bias),
        Linear(name="k_proj", inputs=h, outputs=kv, has_bias=bias),
        Linear(name="v_proj", inputs=h, outputs=kv, has_bias=bias),
        last,
    ]


def _mlp(arch: Architecture) -> list[Linear]:
    h, f, bias = arch.hidden, arch.intermediate, arch.has_mlp_bias
    if arch.num_experts:
        router = Linear(name="gate", inputs=h, outputs=arch.num_experts, is_expert=True)
        expert = [
            Linear(name="gate_up_proj", inputs=h, outputs=2 * f, is_expert=True),
            Linear(name="down_proj", inputs=f, outputs=h, is_expert=True),
        ]
        shared = _shared_expert(arch)
        return [router, *(expert * arch.num_experts), *shared]
    if not arch.is_gated:
        return [
            Linear(name="fc1", inputs=h, outputs=f, has_bias=bias),
            Linear(name="fc2", inputs=f, outputs=h, has_bias=bias),
        ]
    down = Linear(name="down_proj", inputs=f, outputs=h, has_bias=bias)
    if arch.is_fused or arch.model_type in ("glm", "glm4"):
        return [Linear(name="gate_up_proj", inputs=h, outputs=2 * f, has_bias=bias), down]
    return [
        Linear(name="gate_proj", inputs=h, outputs=f, has_bias=bias),
        Linear(name="up_proj", inputs=h, outputs=f, has_bias=bias),
        down,
    ]


def _shared_expert(arch: Architecture) -> list[Linear]:
    h, f = arch.hidden, arch.shared_intermediate
    if not f:
        return []
    return [
        Linear(name="gate_proj", inputs=h, outputs=f),
        Linear(name="up_proj", inputs=h, outputs=f),
        Linear(name="down_proj", inputs=f, outputs=h),
        Linear(name="shared_expert_gate", inputs=h, outputs=1),
    ]


def vision_linears(arch: Architecture) -> list[Linear]:
    """Return the linear modules of the image tower, all its layers."""
    if arch.vision is None:
        return []
    width, num_layers, wide = arch.vision
    attention = [
        Linear(name=name, inputs=width, outputs=width, has_bias=True)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj")
    ]
    mlp = [
        Linear(name="fc1", inputs=width, outputs=wide, has_bias=True),
        Linear(name="fc2", inputs=wide, outputs=width, has_bias=True),
    ]
    return [*attention, *mlp] * num_layers


def all_linears(arch: Architecture) -> list[Linear]:
    """Return every linear module but the output head."""
    return layer_linears(arch) * arch.num_layers + vision_linears(arch)


def num_norm_parameters(arch: Architecture) -> int:
    """Return the elements of all norms."""
    each = 2 if arch.has_layer_norm else 1
    per_layer = {"pre": 2, "post": 2, "sandwich": 4, "parallel": 1}[arch.norm] * arch.hidden * each
    if arch.qk_norm == "head":
        per_layer += 2 * arch.head_dim
    elif arch.qk_norm == "all":
        per_layer += arch.q + arch.kv
    vision = 0
    if arch.vision is not None:
        width, num_layers, _ = arch.vision
        vision = num_layers * 2 * 2 * width
    return arch.num_layers * per_layer + arch.hidden * each + vision


def num_embedding_parameters(arch: Architecture) -> int:
    """Return the elements of the embedding, and of the output head where it is its own."""
    matrices = arch.vocab * arch.hidden * (1 if arch.is_tied else 2)
    return matrices + (arch.vocab if arch.has_head_bias else 0)


def num_parameters(arch: Architecture) -> int:
    """Return the elements of all parameters; a tied head counts once."""
    linears = sum(
        linear.numel + (linear.outputs if linear.has_bias else 0) for linear in all_linears(arch)
    )
    return linears + num_norm_parameters(arch) + num_embedding_parameters(arch) + arch.vision_extra
