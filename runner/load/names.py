"""What a person meant by a key that does not exist: nearest names, other sections, other tools."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

# Keys of other trainers → ours. A value with a space is an explanation, not a key.
ELSEWHERE: Mapping[str, str] = {
    # model
    "model.name": "model.name_or_path",
    "model.path": "model.name_or_path",
    "model.id": "model.name_or_path",
    "model.repo_id": "model.name_or_path",
    "base_model": "model.name_or_path",
    "base_model_name": "model.name_or_path",
    "model_name": "model.name_or_path",
    "model_name_or_path": "model.name_or_path",
    "model_id": "model.name_or_path",
    "pretrained_model_name_or_path": "model.name_or_path",
    "model_path": "model.name_or_path",
    "model_revision": "model.revision",
    "revision_of_model": "model.revision",
    "torch_dtype": "model.dtype",
    "precision": "model.dtype",
    "bf16": "write `model.dtype: bfloat16`",
    "fp16": "write `model.dtype: float16`",
    "flash_attention": "model.attn_implementation",
    "flash_attn": "model.attn_implementation",
    "attention": "model.attn_implementation",
    # method and quantisation
    "adapter": "method",
    "finetuning_type": "method",
    "peft_method": "method",
    "load_in_4bit": "write `method: qlora`",
    "load_in_8bit": "8-bit bases are not offered; write `method: qlora` (4 bit) or `lora` (16 bit)",
    "bits": "write `method: qlora` for 4 bit",
    "quantization_bit": "write `method: qlora` for 4 bit",
    "bnb_4bit_quant_type": "quantization.type",
    "quant_type": "quantization.type",
    "bnb_4bit_use_double_quant": "quantization.double_quant",
    "use_double_quant": "quantization.double_quant",
    "double_quantization": "quantization.double_quant",
    "bnb_4bit_compute_dtype": "quantization.compute_dtype",
    # stage
    "rl": "stage",
    "task": "stage",
    "training_type": "stage",
    # data
    "dataset": "data.train",
    "datasets": "data.train",
    "data_path": "data.train",
    "train_file": "data.train",
    "train_data": "data.train",
    "train_dataset": "data.train",
    "dataset_name": "data.train",
    "dataset_path": "data.train",
    "test": "data.eval",
    "validation": "data.eval",
    "test_datasets": "data.eval",
    "eval_dataset": "data.eval",
    "eval_file": "data.eval",
    "validation_file": "data.eval",
    "val_set_size": "data.val_size",
    "test_size": "data.val_size",
    "validation_split": "data.val_size",
    "sequence_len": "data.max_length",
    "sequence_length": "data.max_length",
    "seq_len": "data.max_length",
    "seq_length": "data.max_length",
    "max_seq_length": "data.max_length",
    "max_seq_len": "data.max_length",
    "cutoff_len": "data.max_length",
    "model_max_length": "data.max_length",
    "block_size": "data.max_length",
    "max_tokens": "data.max_length",
    "sample_packing": "data.packing",
    "pack": "data.packing",
    "template": "data.chat_template",
    "train_on_inputs": "data.loss_on",
    "train_on_prompt": "data.loss_on",
    "train_on_responses_only": "data.loss_on",
    "assistant_only_loss": "data.loss_on",
    "completion_only_loss": "data.loss_on",
    "truncation": "data.on_too_long",
    "data.train[0].type": "data.train[0].format",
    "data.eval[0].type": "data.eval[0].format",
    "field_mapping": "data.train[0].columns",
    "column_map": "data.train[0].columns",
    "data.train[0].name": "data.train[0].path",
    "data.train[0].file": "data.train[0].path",
    "data.train[0].dataset": "data.train[0].path",
    "data.eval[0].name": "data.eval[0].path",
    "data.eval[0].file": "data.eval[0].path",
    # lora
    "lora_r": "lora.r",
    "lora_rank": "lora.r",
    "rank": "lora.r",
    "lora_alpha": "lora.alpha",
    "lora_dropout": "lora.dropout",
    "lora_target": "lora.target_modules",
    "lora_targets": "lora.target_modules",
    "lora_target_modules": "lora.target_modules",
    "lora_target_linear": "lora.target_modules",
    "targets": "lora.target_modules",
    "modules": "lora.target_modules",
    "lora_modules": "lora.target_modules",
    "peft": "lora",
    "peft_config": "lora",
    "lora_config": "lora",
    "peft_use_dora": "lora.use_dora",
    "peft_use_rslora": "lora.use_rslora",
    "dora": "lora.use_dora",
    "rslora": "lora.use_rslora",
    # dpo
    "dpo_beta": "dpo.beta",
    "pref_beta": "dpo.beta",
    "rl_beta": "dpo.beta",
    "dpo_loss_type": "dpo.loss_type",
    "pref_loss": "dpo.loss_type",
    # train
    "training": "train",
    "trainer": "train",
    "training_args": "train",
    "training_arguments": "train",
    "hyperparameters": "train",
    "optimization": "train",
    "lr": "train.learning_rate",
    "epochs": "train.num_train_epochs",
    "num_epochs": "train.num_train_epochs",
    "n_epochs": "train.num_train_epochs",
    "epoch": "train.num_train_epochs",
    "steps": "train.max_steps",
    "num_steps": "train.max_steps",
    "num_train_steps": "train.max_steps",
    "total_steps": "train.max_steps",
    "micro_batch_size": "train.per_device_train_batch_size",
    "per_device_batch_size": "train.per_device_train_batch_size",
    "train_batch_size": "train.per_device_train_batch_size",
    "batch_size": "train.effective_batch_size",
    "global_batch_size": "train.effective_batch_size",
    "total_batch_size": "train.effective_batch_size",
    "grad_accum": "train.gradient_accumulation_steps",
    "gradient_accumulation": "train.gradient_accumulation_steps",
    "accumulation_steps": "train.gradient_accumulation_steps",
    "grad_accum_steps": "train.gradient_accumulation_steps",
    "lr_scheduler": "train.lr_scheduler_type",
    "scheduler": "train.lr_scheduler_type",
    "warmup": "train.warmup_ratio",
    "warmup_steps": "give the share of all steps as `train.warmup_ratio`",
    "optimizer": "train.optim",
    "grad_clip": "train.max_grad_norm",
    "gradient_clipping": "train.max_grad_norm",
    "max_gradient_norm": "train.max_grad_norm",
    "random_seed": "train.seed",
    "random_state": "train.seed",
    "use_gradient_checkpointing": "train.gradient_checkpointing",
    "activation_checkpointing": "train.gradient_checkpointing",
    "eval_strategy": "give the number of steps as `train.eval_steps`",
    "evaluation_strategy": "give the number of steps as `train.eval_steps`",
    "evals_per_epoch": "give the number of steps as `train.eval_steps`",
    "logging_steps": "remove it: every step is in the journal",
    # checkpoint
    "save_strategy": "give the number of steps as `checkpoint.save_steps`",
    "saves_per_epoch": "give the number of steps as `checkpoint.save_steps`",
    "save_total_limit": "checkpoint.keep",
    "resume_from_checkpoint": "checkpoint.resume",
    "auto_resume_from_checkpoints": "checkpoint.resume",
    # tracking
    "report_to": "give the server as `tracking.mlflow.uri`; `none` turns tracking off",
    "wandb_project": "name the MLflow experiment instead: `tracking.mlflow.experiment`",
    "mlflow_tracking_uri": "tracking.mlflow.uri",
    "mlflow_experiment_name": "tracking.mlflow.experiment",
    "tracking_uri": "tracking.mlflow.uri",
    "experiment_name": "tracking.mlflow.experiment",
    "run_name": "name",
    "job_name": "name",
    # place and limits
    "output_dir": "remove it: runs go to `runs/`, or to $TRAINBOX_RUNS",
    "num_gpus": "resources.gpus",
    "n_gpus": "resources.gpus",
    "device": "resources.gpus",
    "gpu_name": "resources.gpu",
    "dataloader_num_workers": "resources.num_workers",
    "dataset_num_proc": "resources.num_workers",
    "shm_size": "resources.shm_gib",
    "memory": "resources.memory_gib",
    "timeout": "limits.max_duration",
    "max_time": "limits.max_duration",
    "time_limit": "limits.max_duration",
    "push_to_hub": "remove it: a run never uploads to a hub",
    "hub_model_id": "remove it: a run never uploads to a hub",
    "hub_token": "name the environment variable in `secrets`, never the value",
    "hf_token": "name the environment variable in `secrets`, never the value",
    "token": "name the environment variable in `secrets`, never the value",
    "api_key": "name the environment variable in `secrets`, never the value",
    "env": "name the environment variables in `secrets`",
    "load_best_model_at_end": "remove it: the adapter of the last step is saved",
    "deepspeed": "remove it: one GPU trains without it",
    "fsdp": "remove it: one GPU trains without it",
}

# Words of other trainers for a choice → ours.
CHOICES_ELSEWHERE: Mapping[str, str] = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "half": "float16",
    "fp32": "float32",
    "adam": "adamw_torch",
    "adamw": "adamw_torch",
    "adamw_hf": "adamw_torch",
    "adamw_bnb_8bit": "adamw_8bit",
    "fa2": "flash_attention_2",
    "flash_attention": "flash_attention_2",
    "openai": "messages",
    "chat": "messages",
    "chatml": "messages",
    "chat_template": "messages",
    "completion": "text",
    "instruction": "alpaca",
    "dpo": "preference",
    "cos": "cosine",
    "true": "full",
    "finetune": "full",
    "freeze": "lora",
    "int4": "nf4",
    "offline": "none",
    "online": "hub",
}


def nearest_choice(word: str, choices: Sequence[str]) -> str | None:
    """Return the choice a word was meant to be."""
    foreign = CHOICES_ELSEWHERE.get(_plain(word))
    return foreign if foreign in choices else nearest(word, choices, cutoff=0.6)


def nearest(name: str, candidates: Iterable[str], *, cutoff: float = 0.7) -> str | None:
    """Return the candidate most like the name: same word in another spelling, or a slip."""
    spelt = {_plain(candidate): candidate for candidate in candidates}
    plain = _plain(name)
    if plain in spelt:
        return spelt[plain]
    near = difflib.get_close_matches(plain, spelt, n=1, cutoff=cutoff)
    return spelt[near[0]] if near else None


def meant(name: str, section: str, keys: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return what an unknown key was meant to be: `data.max_length`, or an explanation.

    Args:
        name: the key as written.
        section: the section it stands in, `` for the top; items of a list are `data.train[0]`.
        keys: section → its keys, of the whole job.
    """
    here = {section: keys.get(section, ())}
    if own := ELSEWHERE.get(_join(section, name)):
        return own
    if found := _search(name, here, 0.99) or _search(name, keys, 0.99):
        return found
    if "." in name:  # a dotted key, as `--set` has it
        above, _, last = name.rpartition(".")
        return meant(last, _join(section, above), keys)
    if found := _search(name, here, 0.8):
        return found
    if foreign := nearest(name, ELSEWHERE, cutoff=0.99):
        return ELSEWHERE[foreign]
    if found := _search(name, here, 0.7) or _search(name, keys, 0.8):
        return found
    if foreign := nearest(name, ELSEWHERE, cutoff=0.85):
        return ELSEWHERE[foreign]
    plain = _plain(name)  # `grace` for grace_seconds, `keep_last` for keep
    alike = [key for key in here[section] if key.startswith(plain) or plain.startswith(f"{key}_")]
    if len(alike) == 1 and plain:
        return _join(section, alike[0])
    return _search(name, here, 0.65)  # a slip in a short key: `rr`, `alfa`


def _search(name: str, keys: Mapping[str, tuple[str, ...]], cutoff: float) -> str | None:
    for section, names in keys.items():
        if near := nearest(name, names, cutoff=cutoff):
            return _join(section, near)
    return None


def _join(section: str, key: str) -> str:
    return f"{section}.{key}" if section else key


def _plain(name: str) -> str:
    """Return `learningRate`, `learning-rate` and `Learning_Rate` as `learning_rate`."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", snake.lower()).strip("_")
