"""The shape of a decoder, from its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.errors import PlanError

# model_type → how its layers differ from Llama's; read off the modelling code of transformers 5.23.
PLAIN = ("llama", "mistral", "ministral", "qwen2", "seed_oss", "granite", "smollm3", "olmo")
QK_NORM = ("qwen3", "qwen3_moe")
SANDWICH = ("gemma2", "gemma3_text", "gemma3")  # norms before and after each block
POST_NORM = ("olmo2", "olmo3")  # norms after each block, and over all of q and k
FUSED = ("phi3",)  # qkv_proj, gate_up_proj
MOE = ("mixtral", "qwen3_moe", "qwen2_moe", "olmoe", "granitemoe")
KNOWN = (*PLAIN, *QK_NORM, *SANDWICH, *POST_NORM, *FUSED, *MOE, "gemma", "phi", "glm", "glm4")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What of a configuration decides memory."""

    model_type: str
    hidden: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    is_tied: bool
    activation: str
    is_gated: bool = True
    has_qkv_bias: bool = False
    has_o_bias: bool = False
    has_mlp_bias: bool = False
    has_head_bias: bool = False
    qk_norm: str = "none"  # none | head (over head_dim) | all (over all heads)
    norm: str = "pre"  # pre | post | sandwich | parallel
    has_layer_norm: bool = False  # LayerNorm with bias instead of RMSNorm
    is_fused: bool = False  # qkv_proj and gate_up_proj
    has_partial_rotary: bool = False  # positions turn a part of each head only
    residual_dropout: float = 0.0
    scales_residual: bool = False
    scales_logits: bool = False
    scales_embedding: bool = False
    num_experts: int = 0
    experts_per_token: int = 0
    shared_intermediate: int = 0
    sliding_window: int | None = None
    vision: tuple[int, int, int] | None = None  # hidden, layers, intermediate of the image tower
    vision_extra: int = 0  # parameters of the tower outside its layers, and of the projector

    @property
    def q(self) -> int:
        """Width of all query heads."""
        return self.num_heads * self.head_dim

    @property
    def kv(self) -> int:
        """Width of all key (or value) heads."""
        return self.num_kv_heads * self.head_dim


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """Return the architecture of a parsed config.json.

    Raises:
        PlanError: the model type is not known here, or a size is missing.
    """
    text = config.get("text_config") or config
    model_type = str(text.get("model_type") or config.get("model_type", ""))
    if model_type not in KNOWN:
        raise unknown_architecture(model_type or "(none)")
    try:
        return _read(text, config, model_type)
    except (KeyError, TypeError) as error:
        raise unknown_architecture(model_type, missing=str(error)) from error


def _read(text: Mapping[str, Any], config: Mapping[str, Any], model_type: str) -> Architecture:
    heads, hidden = int(text["num_attention_heads"]), int(text["hidden_size"])
    has_bias = bool(text.get("attention_bias", model_type in ("qwen2", "phi", "qwen2_moe")))
    experts = int(text.get("num_local_experts") or text.get("num_experts") or 0)
    tied_by_default = model_type.startswith("gemma")
    vision = config.get("vision_config") if text is not config else None
    return Architecture(
        model_type=model_type,
        hidden=hidden,
        num_layers=int(text["num_hidden_layers"]),
        num_heads=heads,
        num_kv_heads=int(text.get("num_key_value_heads") or heads),
        head_dim=int(text.get("head_dim") or hidden // heads),
        intermediate=int(
            (text.get("moe_intermediate_size") if experts else None) or text["intermediate_size"]
        ),
        vocab=int(text["vocab_size"]),
        is_tied=bool(text.get("tie_word_embeddings", tied_by_default)),
        activation=str(text.get("hidden_activation") or text.get("hidden_act", "silu")),
        is_gated=model_type != "phi",
        has_qkv_bias=has_bias,
        has_o_bias=_has_o_bias(text, model_type, has_bias),
        has_mlp_bias=bool(text.get("mlp_bias", model_type == "phi")),
        has_head_bias=model_type == "phi",
        qk_norm=_qk_norm(model_type),
        norm=_norm(model_type),
        has_layer_norm=model_type == "phi",
        is_fused=model_type in FUSED,
        has_partial_rotary=float(text.get("partial_rotary_factor") or 1.0) < 1.0,
        residual_dropout=float(text.get("resid_pdrop") or text.get("residual_dropout") or 0.0),
        scales_residual=model_type in ("granite", "granitemoe"),
        scales_logits=model_type in ("granite", "granitemoe"),
        scales_embedding=model_type in ("granite", "granitemoe") or model_type.startswith("gemma"),
        num_experts=experts,
        experts_per_token=int(text.get("num_experts_per_tok") or 0),
        shared_intermediate=int(text.get("shared_expert_intermediate_size") or 0),
        sliding_window=text.get("sliding_window") if text.get("use_sliding_window", True) else None,
        **_vision(vision, hidden),
    )


def _has_o_bias(text: Mapping[str, Any], model_type: str, has_bias: bool) -> bool:
    if model_type == "seed_oss":
        return bool(text.get("attention_out_bias", False))
    return has_bias and model_type not in ("qwen2", "qwen2_moe")


def _qk_norm(model_type: str) -> str:
    if model_type in POST_NORM or model_type == "olmoe":
        return "all"
    return "head" if model_type in (*QK_NORM, "gemma3_text", "gemma3") else "none"


def _norm(model_type: str) -> str:
    if model_type in POST_NORM:
        return "post"
    if model_type in (*SANDWICH, "glm4"):
        return "sandwich"
    return "parallel" if model_type == "phi" else "pre"


def _vision(vision: Mapping[str, Any] | None, text_hidden: int) -> dict[str, Any]:
    """Return the SigLIP tower of Gemma 3: loaded with the model, unused by text."""
    if not vision:
        return {}
    width, wide = int(vision["hidden_size"]), int(vision["intermediate_size"])
    patches = (int(vision["image_size"]) // int(vision["patch_size"])) ** 2
    patch_weights = 3 * int(vision["patch_size"]) ** 2 * width + width
    extra = patch_weights + patches * width + 2 * width + width + width * text_hidden
    return {"vision": (width, int(vision["num_hidden_layers"]), wide), "vision_extra": extra}


def unknown_architecture(model_type: str, missing: str | None = None) -> PlanError:
    """Return the refusal to guess."""
    return PlanError(
        id="plan-memory-architecture",
        what=f"config.json of type `{model_type}`"
        + (f" lacks {missing}" if missing else " is not one whose memory is known"),
        why="its layers decide how much memory a step takes; a guess could fail hours later",
        fix="`trainbox plan JOB --trace` counts it with the model's own code",
    )
