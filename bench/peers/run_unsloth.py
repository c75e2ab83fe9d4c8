"""Unsloth: its model and adapter under TRL's trainer, as its notebooks have it."""

from unsloth import FastLanguageModel  # isort: skip  # it patches what the others import

from datasets import load_dataset
from trl import SFTConfig, SFTTrainer
from work import mark_steps, read_work


def prompt_and_completion(row: dict) -> dict:
    return {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}


work = read_work()
job, training = work.job, work.training
mark_steps(work.marks)
checkpointing = "unsloth" if work.is_checkpointed else False
model, tokenizer = FastLanguageModel.from_pretrained(
    model_name=work.plan["model"]["folder"],
    max_seq_length=job["data"]["max_length"],
    dtype=job["model"]["dtype"],
    load_in_4bit=job["method"] == "qlora",
    use_gradient_checkpointing=checkpointing,
)
model = FastLanguageModel.get_peft_model(
    model,
    r=job["lora"]["r"],
    target_modules=[
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    ],
    lora_alpha=job["lora"]["alpha"],
    lora_dropout=job["lora"]["dropout"],
    use_gradient_checkpointing=checkpointing,
    random_state=job["train"]["seed"],
)  # fmt: skip
chats = load_dataset("json", data_files=str(work.data), split="train")
trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=chats.map(prompt_and_completion, remove_columns=["messages"]),
    args=SFTConfig(
        output_dir=str(work.folder / "out"),
        per_device_train_batch_size=training["micro_batch_size"],
        gradient_accumulation_steps=training["gradient_accumulation_steps"],
        gradient_checkpointing=work.is_checkpointed,
        max_steps=work.num_steps,
        learning_rate=job["train"]["learning_rate"],
        lr_scheduler_type=job["train"]["lr_scheduler_type"],
        max_length=job["data"]["max_length"],
        bf16=job["model"]["dtype"] == "bfloat16",
        use_cpu=training["device"] == "cpu",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        seed=job["train"]["seed"],
        data_seed=job["train"]["seed"],
    ),
)
trainer.train()
