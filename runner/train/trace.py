"""The oracle: the real model code run on tensors without data, its live bytes counted.

    python -m runner.train.trace CONFIG.json < settings.json

transformers, peft, bitsandbytes and TRL's loss run as they are, on fake tensors: shapes and types
are real, no byte is allocated, so a 70B model needs no GPU and little memory. Stand-ins are made
only for kernels that exist on a GPU alone, and for what they allocate there: flash attention
(output, log-sum-exp, gradients), the 4-bit product (the dequantised weight), the dropout that
keeps a mask of one byte, and the tiles of TRL's loss.
"""

from __future__ import annotations

import json
import sys
import types
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from bitsandbytes.functional import QuantState
from bitsandbytes.nn.modules import Linear4bit
from peft import LoraConfig, get_peft_model
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.quantizers.base import get_keys_to_not_convert
from trl.kernels import chunked_logprob
from trl.trainer.utils import FusedCausalLMOutput, add_fused_lm_head

from runner.memory.settings import Adapter, Quantization, Settings
from runner.train.levers.adapters import fuse_adapters, leave_inputs_uncast
from runner.train.levers.head import LogProbs

DTYPES = {2: torch.bfloat16, 4: torch.float32}
UNTYPED_LINEAR: Any = Linear4bit  # bitsandbytes has no annotations
UNTYPED_STATE: Any = QuantState
COUNTED = {"flash": "counted", "mem_efficient": "counted_masked", "masked": "counted_masked"}
BLOCK = 512  # bytes the CUDA caching allocator rounds a tensor up to


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of every storage from its making to its last reference."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._seen: Any = WeakIdKeyDictionary()

    def add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        self._seen[storage] = True
        nbytes = -(-storage.nbytes() // BLOCK) * BLOCK
        self.live += nbytes
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, nbytes)

    def _free(self, nbytes: int) -> None:
        self.live -= nbytes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.bitsandbytes.gemm_4bit.default:
            weight = args[2][0] * args[2][1] * args[0].element_size()  # dequantised, then freed
            self.peak = max(self.peak, self.live + weight)
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self.add(leaf)
        return out


class Flash(torch.autograd.Function):
    """What flash attention keeps and allocates."""

    @staticmethod
    def forward(ctx: Any, q: Any, k: Any, v: Any, *mask: Any) -> Any:
        out = torch.empty_like(q)
        statistics = q.new_empty(q.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(q, k, v, out, statistics, *mask)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        q, k, v, *others = ctx.saved_tensors
        results = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        q.new_empty(q.shape, dtype=torch.float32)  # dq is summed in float32
        return *results, *(None for _ in others[2:])


def flash(module: Any, q: Any, k: Any, v: Any, mask: Any, **_: Any) -> Any:
    return Flash.apply(q, k, v).transpose(1, 2), None  # type: ignore[no-untyped-call]


def masked(module: Any, q: Any, k: Any, v: Any, mask: Any, **_: Any) -> Any:
    """SDPA with a mask: key and value heads repeated, the mask added in the queries' type."""
    repeats = q.shape[1] // k.shape[1]
    if repeats > 1:
        k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
    rows, _, length, _ = q.shape
    added = q.new_empty((rows, 1, length, length))
    return Flash.apply(q, k, v, added).transpose(1, 2), None  # type: ignore[no-untyped-call]


def trace(config_file: str, settings: Settings, num_layers: int | None = None) -> dict[str, int]:
    """Count one step: forward, loss, backward.

    Returns:
        Bytes of weights and adapters, of everything else alive at the worst moment, gradients
        included, and how many parameters are trained.
    """
    counter = LiveBytes()
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with gpu_kernels(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's and transformers', about each other
        model = build(config_file, settings, fake, num_layers)
        with fake, counter:
            for tensor in (*model.parameters(), *model.buffers()):
                counter.add(tensor)
            for module in model.modules():
                state = getattr(getattr(module, "weight", None), "quant_state", None)
                for tensor in constants(state) if state is not None else ():
                    counter.add(tensor)
            resident = counter.live
            counter.peak = resident
            step(model, settings)
    return {
        "weights_bytes": resident,
        "activations_bytes": counter.peak - resident,
        "num_trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def step(model: Any, settings: Settings) -> None:
    """Run forward, loss and backward once."""
    ids = torch.zeros((settings.rows, settings.length), dtype=torch.long)
    autocast = torch.autocast("cpu", DTYPES[settings.compute_itemsize], settings.autocast)
    is_scored = settings.head in ("trl", "one_pass")
    arguments = {"fused_lm_head": True} if is_scored else {}
    with autocast:
        outputs = model(input_ids=ids, labels=ids, use_cache=False, **arguments)
        loss = -outputs.log_probs.sum() if is_scored else outputs.loss
    loss.backward()


def build(config_file: str, settings: Settings, fake: Any, num_layers: int | None) -> Any:
    """Return the model as training has it, without data."""
    config = AutoConfig.from_pretrained(config_file)
    text = config.get_text_config()
    if num_layers is not None:
        text.num_hidden_layers = num_layers
        if getattr(text, "layer_types", None):
            text.layer_types = text.layer_types[:num_layers]
    dtype = DTYPES[settings.weight_itemsize]
    with torch.device("meta"):
        make: Any = AutoModelForCausalLM.from_config
        model = make(config, dtype=dtype, attn_implementation="eager")
        if settings.attention != "eager":
            model.set_attn_implementation(COUNTED[settings.attention])
        if settings.quantization is not None:
            quantise(model, settings)
        if settings.head == "trl":
            add_fused_lm_head(model)
        if settings.head == "one_pass":
            score_in_one_pass(model)
        if settings.adapter is not None:
            model = with_adapter(model, settings.adapter)
    with fake:
        without_data(model)
    if settings.checkpointing != "off":
        model.activation_checkpointing_enable(
            {"use_reentrant": False},
            every_n_layers=settings.every_n if settings.checkpointing == "every_n" else 1,
        )
        if settings.adapter is not None:
            model.enable_input_require_grads()
    return model.train()


def without_data(model: torch.nn.Module) -> None:
    """Give every parameter and buffer of a meta model a fake tensor; tied ones stay tied."""
    made: dict[int, Any] = {}
    before = list(model.parameters())  # alive, so that no id is used twice
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                if id(value) not in made:
                    made[id(value)] = torch.nn.Parameter(blank(value), value.requires_grad)
                fresh = made[id(value)]
                if state := getattr(value, "quant_state", None):
                    fresh.quant_state = state
                    state.absmax = blank(state.absmax)
                    if state.nested:
                        state.state2.absmax = blank(state.state2.absmax)
                module._parameters[name] = fresh
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = blank(buffer)
    del before


def blank(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")


def score_in_one_pass(model: Any) -> None:
    """Stand in for our head, which picks tokens by a mask: without data, all carry loss."""

    def forward(self: Any, *args: Any, labels: Any, fused_lm_head: bool, **kwargs: Any) -> Any:
        scored = self.base_model(*args, **kwargs).last_hidden_state.flatten(0, 1).clone()
        head = self.get_output_embeddings()
        log_probs: Any = LogProbs.apply(scored, head.weight, head.bias, labels.flatten())  # type: ignore[no-untyped-call]
        return FusedCausalLMOutput(log_probs=log_probs)

    model.forward = types.MethodType(forward, model)


def with_adapter(model: Any, adapter: Adapter) -> Any:
    """Put the adapter on, in its own type."""
    wrapped = get_peft_model(
        model,
        LoraConfig(
            r=adapter.r,
            lora_dropout=adapter.dropout,
            target_modules=list(adapter.targets) if adapter.targets else "all-linear",
            task_type="CAUSAL_LM",
        ),
        autocast_adapter_dtype=False,
    )
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(DTYPES[adapter.itemsize])
    if adapter.is_fused:
        fuse_adapters(wrapped)
    if not adapter.casts_input:
        leave_inputs_uncast(wrapped)
    return wrapped


def quantise(model: Any, settings: Settings) -> None:
    """Replace the linear modules by 4-bit ones, weights and constants without data."""
    assert settings.quantization is not None
    model.is_loaded_in_4bit = True  # peft then takes its layers for bitsandbytes'
    kept = get_keys_to_not_convert(model)
    for name, module in list(model.named_modules()):
        if type(module) is not torch.nn.Linear or any(key in name for key in kept):
            continue
        linear = UNTYPED_LINEAR(
            module.in_features, module.out_features, module.bias is not None,
            compute_dtype=DTYPES[settings.compute_itemsize], quant_type="nf4", device="meta",
        )  # fmt: skip
        num = module.in_features * module.out_features
        weight: Any = torch.nn.Parameter(
            torch.empty((num // 2, 1), dtype=torch.uint8), requires_grad=False
        )
        weight.quant_state = quant_state(num, module, settings)
        weight.compress_statistics = settings.quantization.double_quant
        weight.quant_type = "nf4"
        linear.weight, linear.bias = weight, module.bias
        model.set_submodule(name, linear)


def quant_state(num: int, module: Any, settings: Settings) -> Any:
    """Return the constants of a block-wise quantised weight: 64 to a block, 256 to a second one."""
    assert settings.quantization is not None
    blocks, nested = num // 64, settings.quantization.double_quant
    return UNTYPED_STATE(
        absmax=torch.empty(blocks, dtype=torch.uint8 if nested else torch.float32),
        shape=torch.Size((module.out_features, module.in_features)),
        code=torch.empty(16),
        blocksize=64,
        quant_type="nf4",
        dtype=DTYPES[settings.compute_itemsize],
        offset=torch.empty(()) if nested else None,
        state2=UNTYPED_STATE(
            absmax=torch.empty(-(-blocks // 256)),
            code=torch.empty(256),
            blocksize=256,
            dtype=torch.float32,
        )
        if nested
        else None,
    )


def constants(state: Any) -> Iterator[torch.Tensor]:
    yield state.absmax
    if state.nested:
        yield state.state2.absmax


@contextmanager
def gpu_kernels() -> Iterator[None]:
    """Stand in for the kernels that exist on a GPU alone."""

    def dropout(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        return torch.native_dropout(x, p, True)[0] if p and training else x

    def nothing(*_: Any, **__: Any) -> None: ...

    is_enabled = torch.is_autocast_enabled

    for name, function in (("counted", flash), ("counted_masked", masked)):
        ALL_ATTENTION_FUNCTIONS.register(name, function)
    with (
        mock.patch.object(torch.nn.functional, "dropout", dropout),
        # without a device it asks for that of cards, which peft's quantised layers do
        mock.patch.object(torch, "is_autocast_enabled", lambda device="cpu": is_enabled(device)),
        mock.patch.object(chunked_logprob, "_forward_tile", nothing),
        mock.patch.object(chunked_logprob, "_backward_tile", nothing),
        mock.patch.object(chunked_logprob, "_addmm_fp32", nothing),
    ):
        yield


def read_settings(raw: dict[str, Any]) -> Settings:
    """Build settings from JSON."""
    nested: dict[str, Callable[..., Any]] = {"quantization": Quantization, "adapter": Adapter}
    for key, make in nested.items():
        if raw.get(key):
            raw[key] = make(**raw[key])
    return Settings(**raw)


def main(arguments: list[str]) -> int:
    print(json.dumps(trace(arguments[0], read_settings(json.load(sys.stdin)))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
