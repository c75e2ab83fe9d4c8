"""Rules over several keys of a job: options that contradict each other, or would have no effect.

Each rule takes a job whose keys are valid one by one, and yields what is wrong. The keys a conflict
names come first to last: its place in the file is that of the first one that is written there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from runner.load.credentials import shown
from runner.spec import Job, Section

NO_EFFECT = "it would have no effect, and nothing would say so"


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """One contradiction, without its place in the file."""

    id: str = "job-conflict"
    keys: tuple[str, ...]
    what: str
    why: str
    fix: str


Rule = Callable[[Job], Iterator[Conflict]]


def is_given(job: Job, key: str) -> bool:
    """Return whether the job file writes a key, with whatever value."""
    node: object = job
    for part in key.split("."):
        if not isinstance(node, Section) or part not in node.model_fields_set:
            return False
        node = getattr(node, part)
    return True


def conflicts_of(job: Job) -> Iterator[Conflict]:
    """Yield every conflict of a job."""
    for rule in RULES:
        yield from rule(job)


def quantization_needs_qlora(job: Job) -> Iterator[Conflict]:
    """A quantised base belongs to method qlora alone."""
    if is_given(job, "quantization") and job.method != "qlora":
        yield Conflict(
            keys=("quantization", "method"),
            what=f"`quantization` is given with `method: {job.method}`",
            why=f"method {job.method} keeps the base in {job.model.dtype}: {NO_EFFECT}",
            fix="remove the section, or write `method: qlora`",
        )


def lora_needs_an_adapter(job: Job) -> Iterator[Conflict]:
    """Method full trains no adapter."""
    if is_given(job, "lora") and job.method == "full":
        yield Conflict(
            keys=("lora", "method"),
            what="`lora` is given with `method: full`",
            why=f"method full trains all weights: {NO_EFFECT}",
            fix="remove the section, or write `method: lora`",
        )


def dpo_needs_its_stage(job: Job) -> Iterator[Conflict]:
    """Options of DPO belong to stage dpo; the whole section at its defaults may stand for show."""
    is_for_show = job.dpo.model_fields_set == set(type(job.dpo).model_fields) and (
        job.dpo.model_dump() == type(job.dpo)().model_dump()
    )
    if is_given(job, "dpo") and job.stage != "dpo" and not is_for_show:
        yield Conflict(
            keys=("dpo", "stage"),
            what=f"`dpo` is given with `stage: {job.stage}`",
            why=f"stage {job.stage} knows no preference loss: {NO_EFFECT}",
            fix="remove the section, or write `stage: dpo`",
        )


def format_fits_the_stage(job: Job) -> Iterator[Conflict]:
    """Stage dpo learns from preference pairs, and nothing else does."""
    for split in ("train", "eval"):
        for number, source in enumerate(getattr(job.data, split)):
            if (source.format == "preference") == (job.stage == "dpo"):
                continue
            dpo = job.stage == "dpo"
            yield Conflict(
                keys=(f"data.{split}[{number}].format", f"data.{split}[{number}]", "stage"),
                what=f"`data.{split}[{number}].format` is `{source.format}` "
                f"with `stage: {job.stage}`",
                why="DPO compares a chosen and a rejected answer"
                if dpo
                else "supervised fine-tuning would not know which answer to learn",
                fix="write `format: preference`, or `stage: sft`" if dpo else "write `stage: dpo`",
            )


def one_way_to_hold_out(job: Job) -> Iterator[Conflict]:
    """Held-out data comes from files of its own, or from the training rows."""
    if job.data.eval and job.data.val_size is not None:
        yield Conflict(
            keys=("data.val_size", "data.eval"),
            what="`data.eval` and `data.val_size` are both given",
            why="it is not clear which rows are held out",
            fix="remove one of the two",
        )


def evaluation_needs_data(job: Job) -> Iterator[Conflict]:
    """A held-out loss needs held-out rows."""
    if job.train.eval_steps and not job.data.eval and job.data.val_size is None:
        yield Conflict(
            keys=("train.eval_steps", "data.eval", "data.val_size"),
            what="`train.eval_steps` is given, but no data is held out",
            why=NO_EFFECT,
            fix="add `data.eval` or `data.val_size: 0.05`, or remove `train.eval_steps`",
        )


def one_length_of_the_run(job: Job) -> Iterator[Conflict]:
    """The length of a run is given in passes or in steps."""
    if job.train.num_train_epochs is not None and job.train.max_steps is not None:
        yield Conflict(
            keys=("train.max_steps", "train.num_train_epochs"),
            what="`train.num_train_epochs` and `train.max_steps` are both given",
            why="one of the two would be ignored without a word",
            fix="remove one of the two, or set it to null",
        )


def batch_sizes_multiply(job: Job) -> Iterator[Conflict]:
    """Micro-batch times accumulation is the effective batch size."""
    train = job.train
    micro, accumulation = train.per_device_train_batch_size, train.gradient_accumulation_steps
    effective, keys = train.effective_batch_size, ["train.effective_batch_size"]
    if micro != "auto" and accumulation != "auto":
        if micro * accumulation != effective and is_given(job, "train.effective_batch_size"):
            yield Conflict(
                keys=(
                    "train.effective_batch_size",
                    "train.per_device_train_batch_size",
                    "train.gradient_accumulation_steps",
                ),
                what=f"`per_device_train_batch_size` {micro} x `gradient_accumulation_steps` "
                f"{accumulation} is {micro * accumulation}, "
                f"not the `effective_batch_size` {effective}",
                why="the optimiser would see another batch than the job says",
                fix=f"write `effective_batch_size: {micro * accumulation}`, "
                "or leave one of the three out",
            )
        return
    for key, part in (
        ("per_device_train_batch_size", micro),
        ("gradient_accumulation_steps", accumulation),
    ):
        if part != "auto" and effective % part:
            yield Conflict(
                keys=(f"train.{key}", *keys),
                what=f"`{key}` {part} does not divide the `effective_batch_size` {effective}",
                why="the optimiser would see another batch than the job says",
                fix=f"write `effective_batch_size: {-(-effective // part) * part}`, "
                f"or `{key}: auto`",
            )


def loss_fits_the_data(job: Job) -> Iterator[Conflict]:
    """Plain text has no turns to choose from, and DPO has its own loss."""
    loss_on = job.data.loss_on
    if not is_given(job, "data.loss_on"):
        return
    if loss_on != "all" and all(source.format == "text" for source in job.data.train):
        yield Conflict(
            keys=("data.loss_on", "data.train"),
            what=f"`data.loss_on: {loss_on}` is given with `format: text`",
            why="plain text has no turns: all of it carries loss",
            fix="write `loss_on: all`, or use a format that has turns",
        )
    if loss_on == "all" and job.stage == "dpo":
        yield Conflict(
            keys=("data.loss_on", "stage"),
            what="`data.loss_on: all` is given with `stage: dpo`",
            why="DPO compares the answers alone",
            fix="remove `loss_on`",
        )


def dpo_is_not_packed(job: Job) -> Iterator[Conflict]:
    """Pairs are not packed."""
    if job.data.packing is True and job.stage == "dpo":
        yield Conflict(
            keys=("data.packing", "stage"),
            what="`data.packing: true` is given with `stage: dpo`",
            why="preference pairs are not packed",
            fix="remove `packing`, or write `packing: auto`",
        )


def one_sixteen_bit_type(job: Job) -> Iterator[Conflict]:
    """Weights and computation share their 16-bit type."""
    types = {job.model.dtype, job.quantization.compute_dtype}
    if job.method == "qlora" and types == {"bfloat16", "float16"}:
        yield Conflict(
            keys=("quantization.compute_dtype", "model.dtype"),
            what=f"`quantization.compute_dtype` is {job.quantization.compute_dtype}, "
            f"`model.dtype` {job.model.dtype}",
            why="every layer would convert between two 16-bit types, and large values overflow",
            fix="write `compute_dtype: auto`",
        )


def cpu_has_no_gpu_features(job: Job) -> Iterator[Conflict]:
    """What needs a card is refused with `resources.gpus: 0`."""
    if job.resources.gpus:
        return
    if job.train.optim.startswith("paged_"):
        yield _needs_a_gpu("train.optim", job.train.optim, "auto")
    if job.model.attn_implementation == "flash_attention_2":
        yield _needs_a_gpu("model.attn_implementation", job.model.attn_implementation, "auto")
    if job.resources.gpu is not None:
        yield _needs_a_gpu("resources.gpu", job.resources.gpu, "null")
    for name in ("compile", "tf32"):
        if getattr(job.speed, name) is True:
            yield _needs_a_gpu(f"speed.{name}", True, "auto")


def _needs_a_gpu(key: str, value: object, instead: str) -> Conflict:
    return Conflict(
        keys=(key, "resources.gpus"),
        what=f"`{key}` is {shown(value)} with `resources.gpus: 0`",
        why="it needs a GPU, and the job asks for the CPU",
        fix=f"write `{key.rpartition('.')[2]}: {instead}`, or `gpus: 1`",
    )


def levers_fit_the_method(job: Job) -> Iterator[Conflict]:
    """A lever on a 4-bit base, or on adapters, belongs to a method that has them."""
    if job.speed.dense_base is True and job.method != "qlora":
        yield _cannot_be_pulled("dense_base", "method", "the base is not quantised")
    if job.speed.fused_adapters is True:
        if job.method == "full":
            yield _cannot_be_pulled("fused_adapters", "method", "there is no adapter")
        for key in ("dropout", "use_dora"):
            if job.method != "full" and getattr(job.lora, key):
                yield _cannot_be_pulled(
                    "fused_adapters", f"lora.{key}", f"`lora.{key}` needs PEFT's own layers"
                )


def _cannot_be_pulled(name: str, other: str, reason: str) -> Conflict:
    return Conflict(
        keys=(f"speed.{name}", other),
        what=f"`speed.{name}` is true, which this job cannot have: {reason}",
        why="the step would be computed otherwise than the job says",
        fix=f"write `{name}: auto`",
    )


def local_files_have_no_split(job: Job) -> Iterator[Conflict]:
    """Splits and revisions belong to data sets of the hub."""
    for split in ("train", "eval"):
        for number, source in enumerate(getattr(job.data, split)):
            if not source.path.endswith((".jsonl", ".json", ".csv", ".parquet")):
                continue
            for key, value in (("split", source.split), ("revision", source.revision)):
                if value not in (None, "train"):
                    yield Conflict(
                        keys=(f"data.{split}[{number}].{key}",),
                        what=f"`data.{split}[{number}].{key}` is given for a local file",
                        why=f"all rows of a file are taken: {NO_EFFECT}",
                        fix=f"remove `{key}`; `weight: 0.1` takes a tenth of the rows",
                    )


def secrets_are_named_once(job: Job) -> Iterator[Conflict]:
    """A name in `secrets` stands there once."""
    twice = sorted({name for name in job.secrets if job.secrets.count(name) > 1})
    if twice:
        yield Conflict(
            keys=("secrets",),
            what="a name stands twice in `secrets`",
            why="a slip of the pen: another name was meant, or none",
            fix="remove one of the two",
        )


def mlflow_has_an_address(job: Job) -> Iterator[Conflict]:
    """The tracking server is a word, or an address with a scheme and no credentials."""
    uri = job.tracking.mlflow.uri
    if uri in ("auto", "none"):
        return
    try:
        parts = urlsplit(uri)
        has_user, _ = "@" in parts.netloc, parts.port  # a port above 65535 is a ValueError
        is_whole = bool(parts.netloc) if parts.scheme in ("http", "https") else True
    except ValueError:
        parts, has_user, is_whole = urlsplit("bad:"), False, False
    if has_user:
        yield Conflict(
            id="job-secret",
            keys=("tracking.mlflow.uri",),
            what="`tracking.mlflow.uri` holds a user name or password (not shown)",
            why="the job is copied into the run directory and sent to the server",
            fix="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment",
        )
    elif parts.scheme not in ("http", "https", "sqlite", "file") or not is_whole:
        yield Conflict(
            id="job-wrong-value",
            keys=("tracking.mlflow.uri",),
            what=f"`tracking.mlflow.uri` is {uri[:60]!r}; "
            "expected `auto`, `none` or an address such as http://localhost:5000",
            why="metrics would be sent nowhere",
            fix="write `uri: auto`, or the whole address with http:// in front",
        )


def full_training_is_not_float16(job: Job) -> Iterator[Conflict]:
    """Weights that are trained need more than float16."""
    if job.method == "full" and job.model.dtype == "float16":
        yield Conflict(
            keys=("model.dtype", "method"),
            what="`model.dtype: float16` is given with `method: full`",
            why="small gradients of float16 weights become zero, large ones infinite",
            fix="write `dtype: bfloat16` (float32 on cards older than Ampere)",
        )


def float16_skips_no_batch(job: Job) -> Iterator[Conflict]:
    """The gradient scaler of float16 wants a gradient in every step."""
    if job.train.on_not_finite == "skip" and "float16" in (
        job.model.dtype,
        job.quantization.compute_dtype,
    ):
        yield Conflict(
            keys=("train.on_not_finite", "model.dtype", "quantization.compute_dtype"),
            what="`train.on_not_finite: skip` is given with float16",
            why="its gradient scaler skips steps whose gradient overflows by itself, and a step "
            "without its batch leaves it nothing to scale: the run would end all the same",
            fix="write `dtype: bfloat16` (float32 on cards older than Ampere), or "
            "`on_not_finite: stop`",
        )


RULES: tuple[Rule, ...] = (
    quantization_needs_qlora,
    lora_needs_an_adapter,
    dpo_needs_its_stage,
    format_fits_the_stage,
    one_way_to_hold_out,
    evaluation_needs_data,
    one_length_of_the_run,
    batch_sizes_multiply,
    loss_fits_the_data,
    dpo_is_not_packed,
    one_sixteen_bit_type,
    full_training_is_not_float16,
    float16_skips_no_batch,
    cpu_has_no_gpu_features,
    levers_fit_the_method,
    local_files_have_no_split,
    secrets_are_named_once,
    mlflow_has_an_address,
)
