"""ms-swift: what `swift sft` runs, on one file of chats."""

from swift import sft_main
from transformers import AutoTokenizer
from work import mark_steps, read_work


def system_message(folder: str) -> str | None:
    """Return what the tokenizer's template says where a chat has no system message."""
    question = [{"role": "user", "content": "?"}]
    text = AutoTokenizer.from_pretrained(folder).apply_chat_template(question, tokenize=False)
    return text.partition("<|im_start|>system\n")[2].partition("<|im_end|>")[0] or None


work = read_work()
job, training = work.job, work.training
mark_steps(work.marks)
arguments = {
    "model": work.plan["model"]["folder"],
    "model_type": "llama" if work.plan["model"]["model_type"] == "llama" else None,
    "template": "chatml",  # by the tokenizer's own (`jinja`) every token would carry loss
    "system": system_message(work.plan["model"]["folder"]),
    "check_model": False,  # asks a hub
    "dataset": str(work.data),
    "dataset_shuffle": False,  # the trainer draws the order, as everybody's
    "max_length": job["data"]["max_length"],
    "loss_scale": "last_round",
    "tuner_type": "lora",
    "target_modules": "all-linear",
    "lora_rank": job["lora"]["r"],
    "lora_alpha": job["lora"]["alpha"],
    "lora_dropout": job["lora"]["dropout"],
    "torch_dtype": job["model"]["dtype"],
    "per_device_train_batch_size": training["micro_batch_size"],
    "gradient_accumulation_steps": training["gradient_accumulation_steps"],
    "gradient_checkpointing": work.is_checkpointed,
    "max_steps": work.num_steps,
    "learning_rate": job["train"]["learning_rate"],
    "lr_scheduler_type": job["train"]["lr_scheduler_type"],
    "warmup_ratio": 0,
    "weight_decay": job["train"]["weight_decay"],
    "adam_beta2": 0.999,
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
        "quant_method": "bnb",
        "quant_bits": 4,
        "bnb_4bit_compute_dtype": training["compute_dtype"],
        "bnb_4bit_quant_type": job["quantization"]["type"],
        "bnb_4bit_use_double_quant": job["quantization"]["double_quant"],
    }
known = {key: value for key, value in arguments.items() if value is not None}
sft_main([part for key, value in known.items() for part in (f"--{key}", str(value))])
