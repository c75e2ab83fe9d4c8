"""LLaMA-Factory: what `llamafactory-cli train` runs, on one dataset of chats."""

import json

from work import mark_steps, read_work

work = read_work()
job, training = work.job, work.training
is_bfloat16 = job["model"]["dtype"] == "bfloat16"
dataset = {
    "file_name": str(work.data),
    "formatting": "sharegpt",
    "columns": {"messages": "messages"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}
(work.folder / "dataset_info.json").write_text(json.dumps({"train": dataset}))

from llamafactory.train.tuner import run_exp  # noqa: E402  # seconds: the files come first

mark_steps(work.marks)
arguments = {
    "stage": "sft",
    "do_train": True,
    "model_name_or_path": work.plan["model"]["folder"],
    "template": None,  # read from the tokenizer
    "dataset": "train",
    "dataset_dir": str(work.folder),
    "cutoff_len": job["data"]["max_length"],
    "mask_history": True,  # loss on the last answer
    "finetuning_type": "lora",
    "lora_target": "all",
    "lora_rank": job["lora"]["r"],
    "lora_alpha": job["lora"]["alpha"],
    "lora_dropout": job["lora"]["dropout"],
    "per_device_train_batch_size": training["micro_batch_size"],
    "gradient_accumulation_steps": training["gradient_accumulation_steps"],
    "disable_gradient_checkpointing": not work.is_checkpointed,
    "max_steps": work.num_steps,
    "learning_rate": job["train"]["learning_rate"],
    "lr_scheduler_type": job["train"]["lr_scheduler_type"],
    "bf16": is_bfloat16,
    "use_cpu": training["device"] == "cpu",
    "seed": job["train"]["seed"],
    "data_seed": job["train"]["seed"],
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "output_dir": str(work.folder / "out"),
}
if job["method"] == "qlora":
    arguments |= {
        "quantization_bit": 4,
        "quantization_type": job["quantization"]["type"],
        "double_quantization": job["quantization"]["double_quant"],
    }
run_exp(arguments)
