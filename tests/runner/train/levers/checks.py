"""What holds of each lever, to be run where torch is imported: called by test_parity."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.utils import add_fused_lm_head

from runner.levers import KEPT_APART
from runner.train.levers import attention, head
from runner.train.levers.adapters import fuse_adapters, leave_inputs_uncast
from runner.train.levers.dense import hold_dequantised
from runner.train.levers.pull import compile_layers

SHAPE: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
LENGTHS = (9, 1, 14, 6)


def samples() -> list[dict[str, list[int]]]:
    torch.manual_seed(3)
    rows = [torch.randint(3, 96, (length,)).tolist() for length in LENGTHS]
    return [{"input_ids": row, "labels": [-100, *row[1:]]} for row in rows]


def model_of(model_type: str, **changes: Any) -> Any:
    torch.manual_seed(5)
    config = AutoConfig.for_model(model_type, **SHAPE | changes)
    attention.register()
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention.NAME).eval()


def end_to_end(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
    return dict(DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(rows))


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def end_to_end_equals_alone(model_type: str, sliding_window: str) -> None:
    window = {"sliding_window": int(sliding_window)} if int(sliding_window) else {}
    model, rows = model_of(model_type, **window), samples()
    assert model_type in KEPT_APART
    batch = end_to_end(rows)
    batch.pop("labels")
    with torch.no_grad():
        together = model(**batch, use_cache=False).logits[0]
        model.set_attn_implementation("sdpa")
        alone = [model(input_ids=torch.tensor([row["input_ids"]])).logits[0] for row in rows]
    close(together, torch.cat(alone))


def samples_see_themselves_alone() -> None:
    model, rows = model_of("llama"), samples()
    batch = end_to_end(rows)
    before = model(**batch, use_cache=False).logits
    rows[0]["input_ids"][2] = 77
    rows[3]["input_ids"][1] = 78
    after = model(**end_to_end(rows), use_cache=False).logits
    middle = slice(LENGTHS[0], sum(LENGTHS[:3]))
    assert torch.equal(before[:, middle], after[:, middle])
    assert not torch.equal(before, after)


def kernel_gets_what_it_needs(version: str) -> None:
    """Both signatures of torch's kernel, stood in for, give what SDPA gives sample by sample."""

    def per_sample(q: Any, k: Any, v: Any, borders: Any, **options: Any) -> torch.Tensor:
        parts = zip(*(one.split(borders.diff().tolist()) for one in (q, k, v)), strict=True)
        outs = []
        for part in parts:
            heads = [one.transpose(0, 1)[None] for one in part]
            outs.append(scaled_dot_product_attention(*heads, **options)[0].transpose(0, 1))
        return torch.cat(outs)

    def of_2_10(q: Any, k: Any, v: Any, b: Any, _: Any, m: int, n: int, is_causal: bool) -> Any:
        assert k.shape == q.shape, "it has no grouped queries"
        return per_sample(q, k, v, b, is_causal=is_causal)

    def of_2_13(
        q: Any, k: Any, v: Any, b: Any, _: Any, m: int, n: int, *, scale: float | None,
        window_size: tuple[int, int], enable_gqa: bool,
    ) -> Any:  # fmt: skip
        assert window_size == (-1, 0) and enable_gqa
        return per_sample(q, k, v, b, is_causal=True, scale=scale, enable_gqa=True)

    torch.manual_seed(1)
    q, k, v = (torch.randn(1, heads, sum(LENGTHS), 8) for heads in (4, 2, 2))
    borders = torch.tensor([0, *LENGTHS]).cumsum(0).to(torch.int32)
    kernel: Callable[..., Any] = of_2_10 if version == "2.10" else of_2_13
    attention._kernel = attention.Kernel(kernel, frozenset(signature(kernel).parameters))
    out = attention._one_launch(q, k, v, borders, max(LENGTHS), 0.2, None)
    close(out, attention._each_sample(q, k, v, list(LENGTHS), 0.2, None))


def head_equals_full_logits(has_bias: str, dtype: str) -> None:
    torch.manual_seed(2)
    hidden = torch.randn(700, 32, requires_grad=True)
    weight, targets = torch.randn(96, 32), torch.randint(0, 96, (700,))
    bias = torch.randn(96) if has_bias == "True" else None
    above = torch.rand(700)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
        ours = head.LogProbs.apply(hidden, weight, bias, targets)
    (gradient,) = torch.autograd.grad((ours * above).sum(), hidden)
    logits = torch.nn.functional.linear(hidden, weight, bias)
    plain = -cross_entropy(logits, targets, reduction="none")
    (expected,) = torch.autograd.grad((plain * above).sum(), hidden)
    tolerance = 1e-5 if dtype == "float32" else 0.15  # of log-probabilities around 10
    close(ours, plain, tolerance)
    close(gradient, expected, tolerance)


def head_of_a_model_equals_trls() -> None:
    losses, gradients = [], []
    for ours in (False, True):
        model = model_of("llama")
        model.get_output_embeddings().weight.requires_grad_(False)
        add_fused_lm_head(model, outputs=("log_probs",))
        if ours:
            head.use_one_pass_head(model)
        outputs = model(**end_to_end(samples()), fused_lm_head=True)
        (-outputs.log_probs.sum()).backward()
        losses.append(outputs.log_probs.detach())
        gradients.append(model.base_model.layers[0].mlp.up_proj.weight.grad)
    close(losses[1], losses[0])
    close(gradients[1], gradients[0])


def nothing_to_score_is_a_zero_with_a_gradient() -> None:
    model = model_of("llama")
    add_fused_lm_head(model)
    head.use_one_pass_head(model)
    batch = end_to_end(samples())
    batch["labels"].fill_(-100)
    loss = model(**batch, fused_lm_head=True).log_probs.sum()
    loss.backward()
    assert loss == 0 and not model.base_model.layers[0].mlp.up_proj.weight.grad.any()


def compiled_layers_compute_the_same(folder: str) -> None:
    """Traced and cut into graphs, but run by eager kernels: a CPU need not have a compiler."""
    loss, gradients = learnt(adapted(folder, "lora"))
    model = adapted(folder, "lora")
    fuse_adapters(model)
    compile_layers(model.get_base_model(), backend="aot_eager")
    compiled_loss, compiled_gradients = learnt(model)
    close(compiled_loss, loss, 1e-6)
    for name, gradient in gradients.items():
        assert (compiled_gradients[name] - gradient).norm() < 1e-5 * gradient.norm(), name


def adapted(folder: str, method: str, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    quantised = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=dtype)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, quantization_config=quantised if method == "qlora" else None
    )
    torch.manual_seed(4)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", **changes)
    model = get_peft_model(model, config).train()
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    return model


def learnt(model: Any, dtype: str = "float32") -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    ids = torch.arange(8, 88).view(4, 20)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return loss.detach(), {
        name: value.grad for name, value in model.named_parameters() if value.requires_grad
    }


def fused_adapters_equal_pefts(folder: str, method: str, dtype: str) -> None:
    loss, gradients = learnt(adapted(folder, method), dtype)
    model = adapted(folder, method)
    assert fuse_adapters(model) == 14, "seven linear layers, twice"
    fused_loss, fused_gradients = learnt(model, dtype)
    close(fused_loss, loss, 1e-6 if dtype == "float32" else 1e-2)
    for name, gradient in gradients.items():
        assert fused_gradients[name].dtype == gradient.dtype == torch.float32
        difference = (fused_gradients[name] - gradient).norm() / gradient.norm()
        assert difference < (1e-5 if dtype == "float32" else 0.02), (name, difference)


def uncast_inputs_are_the_same_to_the_bit(folder: str, method: str) -> None:
    learnt_by, copies = [], []
    for is_uncast in (False, True):
        model, widened = adapted(folder, method, dtype=torch.bfloat16), Widened()
        if is_uncast:
            leave_inputs_uncast(model)
        with widened:
            learnt_by.append(learnt(model, "bfloat16"))
        copies.append(widened.count)
    (loss, gradients), (uncast_loss, uncast_gradients) = learnt_by
    assert torch.equal(uncast_loss, loss)
    for name, gradient in gradients.items():
        assert uncast_gradients[name].dtype == gradient.dtype == torch.float32
        assert torch.equal(uncast_gradients[name], gradient), name
    assert copies[1] <= copies[0] - 14, "one a layer, seven linear layers, twice"


class Widened(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the tensors copied to float32."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default:
            self.count += out.dtype == torch.float32 and args[0].dtype == torch.bfloat16
        return out


def switched_off_is_the_base(folder: str) -> None:
    model = adapted(folder, "lora")
    ids = torch.arange(8, 88).view(4, 20)
    fuse_adapters(model)
    with model.disable_adapter():
        off = model(input_ids=ids).logits
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert torch.equal(off, base(input_ids=ids).logits)


def others_are_left_to_peft(folder: str) -> None:
    assert fuse_adapters(adapted(folder, "lora", lora_dropout=0.1)) == 0
    assert fuse_adapters(adapted(folder, "lora", use_dora=True)) == 0


def dense_base_is_the_same_to_the_bit(folder: str) -> None:
    loss, gradients = learnt(adapted(folder, "qlora"))
    quantised = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, quantization_config=quantised
    )
    assert hold_dequantised(base) == 14
    torch.manual_seed(4)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")
    model = get_peft_model(base, config).train()
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    dense_loss, dense_gradients = learnt(model)
    assert torch.equal(dense_loss, loss)
    for name, gradient in gradients.items():
        assert torch.equal(dense_gradients[name], gradient), name
