"""What of a job decides memory, independent of where it was written."""

from __future__ import annotations

from dataclasses import dataclass

FLOAT32 = 4


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How the frozen base is stored."""

    bits: int  # 4 | 8
    double_quant: bool = False


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """The shape of a LoRA adapter."""

    r: int
    targets: tuple[str, ...] | None  # last names of modules; None is every linear layer
    dropout: float = 0.0
    itemsize: int = FLOAT32
    casts_input: bool = True  # peft since 0.14 casts a layer's input to the adapter's type
    is_fused: bool = False  # runner/train/levers/adapters.py
    use_dora: bool = False


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One training step, as far as its memory goes."""

    method: str  # full | lora | qlora
    stage: str = "sft"  # sft | dpo
    rows: int  # sequences of a micro-batch; DPO has two a pair
    length: int  # tokens of the longest sequence, padding included
    weight_itemsize: int = 2
    compute_itemsize: int = 2
    autocast: bool = True
    is_half: bool = False  # float16 rather than bfloat16, where an element has two bytes
    upcasts_for_kbit: bool = False  # peft's prepare_model_for_kbit_training: float32 norms, head
    recasts_embeddings: bool = False  # TRL below 1.0, for bfloat16: embedding and head back again
    quantization: Quantization | None = None
    adapter: Adapter | None = None
    optimizer: str = "adamw_torch_fused"
    state_itemsize: int | None = None  # None is the trained parameter's own
    has_master_weights: bool = False  # float32 copies beside 16-bit weights (DeepSpeed)
    steps_in_backward: bool = (
        False  # the optimiser runs inside the backward pass: no gradients kept
    )
    checkpointing: str = "full"  # off | full | every_n
    every_n: int = 2
    offloads_checkpoints: bool = False
    attention: str = "flash"  # flash | mem_efficient | masked | eager
    head: str = "trl"  # see runner/memory/head.py
    supervised_share: float = 1.0  # of the tokens
    kernels: str = "stock"  # stock | fused
    has_linear_experts: bool = False  # transformers before 5: an expert's matrices are modules
    accumulates: bool = False  # gradients stay between the micro-batches of a step
    precomputes_reference: bool = False
    is_deterministic: bool = False  # CUBLAS_WORKSPACE_CONFIG=:4096:8

    @property
    def tokens(self) -> int:
        """Tokens of a micro-batch, padding included."""
        return self.rows * self.length

    @property
    def trains_adapter(self) -> bool:
        """Whether the base is frozen."""
        return self.adapter is not None

    @property
    def stream_itemsize(self) -> int:
        """Bytes an element of the hidden states between the layers."""
        return FLOAT32 if self.upcasts_for_kbit else self.weight_itemsize
