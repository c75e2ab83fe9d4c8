"""Base model, quantisation, adapter; and the result as a folder that plain libraries load.

Precisions:

    qlora   4-bit base, computed in compute_dtype; adapters, gradients and Adam moments float32
    lora    base in model.dtype; adapters, gradients and Adam moments float32
    full    weights, gradients and Adam moments float32 (16 bytes a parameter), computed in
            model.dtype by autocast and saved in model.dtype; in 16-bit weights an update of a
            fine-tuning learning rate is often below half a unit in the last place, and lost

TRL would train bfloat16 adapters on a quantised base and resume them as float32: other bits, and
lost updates (measured: 18 % of the entries stood still over ten steps). PEFT's
`prepare_model_for_kbit_training` is not called: it widens the hidden states to float32, for 25 %
more time and memory.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

import runner
from runner.errors import TrainingError
from runner.plan import Plan
from runner.record import checkpoint
from runner.record.layout import RunDir
from runner.train.levers import attention
from runner.train.levers.dense import hold_dequantised

ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")
MODEL_FILES = ("model*.safetensors", "config.json")


def load_base(plan: Plan) -> PreTrainedModel:
    """Load the base model from its folder, quantised where the job says so, on its device."""
    job = plan.job
    dtype = torch.float32 if job["method"] == "full" else _dtype(job["model"]["dtype"])
    num_threads = torch.get_num_threads()
    if plan.training.device == "cpu":
        # Quantising goes tensor by tensor, and threads that wait for the next one spin (measured
        # on the demo model, 2 busy cores: 3.3 cpu seconds with one thread, 11 with two).
        torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(
        plan.model.folder,
        dtype=dtype,
        quantization_config=_quantization(plan) if job["method"] == "qlora" else None,
        attn_implementation=_attention(plan),
        device_map={"": 0 if plan.training.device == "cuda" else "cpu"},
        trust_remote_code=job["model"]["trust_remote_code"],
        local_files_only=True,
    )
    torch.set_num_threads(num_threads)
    if plan.training.levers.dense_base:
        hold_dequantised(model)
    keep_training_layout(model)
    # From here on the model is called by its public name: it is what peft writes into the adapter.
    model.name_or_path = model.config._name_or_path = plan.model.public_name
    return model


def keep_training_layout(model: torch.nn.Module) -> None:
    """Forbid 4-bit layers to re-encode themselves for inference on the CPU.

    On processors with AVX512-BF16 bitsandbytes 0.50 repacks a 4-bit weight the first time it is
    used in eval mode. The packed form has no backward pass: after one evaluation the gradients of
    every layer below are lost without a word (measured on SmolLM2-135M: gradient norm 0.88 before
    an evaluation, 0.11 after it), and its constants are rounded once more.
    """
    module: Any  # nn.Module says that every attribute is a tensor or a module
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def load_tokenizer(plan: Plan) -> PreTrainedTokenizerBase:
    """Load the tokenizer, with the chat template the data was rendered with."""
    tokenizer = AutoTokenizer.from_pretrained(
        plan.model.folder,
        trust_remote_code=plan.job["model"]["trust_remote_code"],
        local_files_only=True,
    )
    tokenizer.name_or_path = plan.model.public_name
    template = Path(plan.job["data"]["chat_template"])
    if str(template) != "tokenizer" and template.is_file():
        tokenizer.chat_template = template.read_text(encoding="utf-8")
    return tokenizer


def lora_config(plan: Plan) -> LoraConfig | None:
    """Return the adapter's shape, or None for method full."""
    if plan.job["method"] == "full":
        return None
    lora = plan.job["lora"]
    return LoraConfig(
        r=lora["r"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules=lora["target_modules"],
        use_dora=lora["use_dora"],
        use_rslora=lora["use_rslora"],
        revision=plan.model.revision,
        bias="none",
        task_type="CAUSAL_LM",
    )


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Return the parameters that are trained, by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def widen_trainable(model: torch.nn.Module) -> None:
    """Make every trained parameter float32, before the optimiser is built over them."""
    for parameter in trainable(model).values():
        parameter.data = parameter.data.float()


def check_finite(model: torch.nn.Module, step: int) -> None:
    """Refuse weights that hold NaN or infinity.

    Raises:
        TrainingError: naming the step and the first such parameter.
    """
    parameters = trainable(model)
    # A sum is not finite where one of its terms is not, and costs a fraction of looking at each.
    if torch.stack([one.detach().sum() for one in parameters.values()]).isfinite().all():
        return
    for name, parameter in parameters.items():
        if not torch.isfinite(parameter).all():
            raise not_finite(step, f"the weights of {name}")


def not_finite(step: int, what: str, *, where: str | None = None) -> TrainingError:
    """Return the fault of a number that ran away.

    Args:
        where: the rows that the step was made of.
    """
    return TrainingError(
        id="train-not-finite",
        what=f"{what} became NaN or infinite in step {step}",
        where=where,
        why="every weight would be NaN from here on; checkpoints before this step are untouched",
        fix="lower `train.learning_rate`; set `model.dtype: bfloat16` if it is float16; or pass "
        "over such a batch: `train.on_not_finite: skip`",
    )


def save_result(
    model: Any, tokenizer: PreTrainedTokenizerBase, plan: Plan, run: RunDir, step: int
) -> Path:
    """Save adapter or model, whole or not at all; again with the same bits if it is there."""
    is_adapter = isinstance(model, PeftModel)
    target = run.adapter if is_adapter else run.model
    staging = run.staging / target.name
    check_finite(model, step)
    if is_adapter:
        model.save_pretrained(staging, save_embedding_layers=False)
    else:
        model.to(_dtype(plan.job["model"]["dtype"])).save_pretrained(staging)
    tokenizer.save_pretrained(staging)
    (staging / "README.md").write_text(_model_card(plan, step), encoding="utf-8")
    checkpoint.seal(
        staging,
        target,
        facts={"run_id": plan.run_id, "step": step, "identity": plan.identity},
        required=(*(ADAPTER_FILES if is_adapter else MODEL_FILES), "tokenizer_config.json"),
    )
    return target


def _model_card(plan: Plan, step: int) -> str:
    """Return a short README with the header the model hub reads."""
    name, job = plan.model.public_name, plan.job
    revision = f" (revision {plan.model.revision})" if plan.model.revision else ""
    library = "transformers" if job["method"] == "full" else "peft"
    header = {"base_model": name, "library_name": library, "pipeline_tag": "text-generation"}
    lines = "\n".join(f"{key}: {json.dumps(value)}" for key, value in header.items())
    return (
        f"---\n{lines}\n---\n\n# {job['name']}\n\n"
        f"{job['stage'].upper()} ({job['method']}) of {name}{revision}, {step} steps, made by "
        f"trainbox {runner.__version__} in run {plan.run_id}.\n"
    )


def _quantization(plan: Plan) -> BitsAndBytesConfig:
    quantization = plan.job["quantization"]
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization["type"],
        bnb_4bit_use_double_quant=quantization["double_quant"],
        bnb_4bit_compute_dtype=_dtype(plan.training.compute_dtype),
    )


def _attention(plan: Plan) -> str:
    """Return the name by which transformers knows the planned attention."""
    if attention.lays_end_to_end(plan.training):
        attention.register()
        return attention.NAME
    planned = plan.training.attn_implementation
    return "sdpa" if planned == "varlen" else planned  # a lone sample needs no kernel of ours


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name)
    assert isinstance(dtype, torch.dtype), name
    return dtype
