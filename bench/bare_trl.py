"""The peer: the script a TRL user writes for the same job. No tracker, no checkpoints.

Usage: python bench/bare_trl.py PLAN_JSON DATA_JSONL MARKS_FILE NUM_STEPS
It reads numbers from a trainbox plan so that both do the same work, and appends a line to
MARKS_FILE after every optimiser step.
"""

import json
import sys
from pathlib import Path

plan = json.loads(Path(sys.argv[1]).read_text())
data_file, marks, num_steps = sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
job, training = plan["job"], plan["training"]

import torch  # noqa: E402  # the arguments are read first, as a user's script would
from datasets import load_dataset  # noqa: E402
from peft import LoraConfig  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    TrainerCallback,
)
from trl import SFTConfig, SFTTrainer  # noqa: E402


class Marks(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        with marks.open("a") as file:
            file.write(f"{state.global_step}\n")


def prompt_and_completion(row):
    # TRL 1.16 refuses `assistant_only_loss` with this model's template, so a user splits the chat
    return {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}


dataset = load_dataset("json", data_files=data_file, split="train")
dataset = dataset.map(prompt_and_completion, remove_columns=["messages"])

dtype = getattr(torch, job["model"]["dtype"])
tokenizer = AutoTokenizer.from_pretrained(plan["model"]["folder"])
model = AutoModelForCausalLM.from_pretrained(
    plan["model"]["folder"],
    dtype=dtype,
    quantization_config=BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=job["quantization"]["type"],
        bnb_4bit_use_double_quant=job["quantization"]["double_quant"],
        bnb_4bit_compute_dtype=dtype,
    )
    if job["method"] == "qlora"
    else None,
)
trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=dataset,
    peft_config=LoraConfig(
        r=job["lora"]["r"],
        lora_alpha=job["lora"]["alpha"],
        lora_dropout=job["lora"]["dropout"],
        target_modules=job["lora"]["target_modules"],
        task_type="CAUSAL_LM",
    ),
    args=SFTConfig(
        output_dir=str(marks.parent / "out"),
        per_device_train_batch_size=training["micro_batch_size"],
        gradient_accumulation_steps=training["gradient_accumulation_steps"],
        max_steps=num_steps,
        learning_rate=job["train"]["learning_rate"],
        lr_scheduler_type=job["train"]["lr_scheduler_type"],
        max_length=job["data"]["max_length"],
        gradient_checkpointing=training["gradient_checkpointing"] != "off",
        bf16=dtype == torch.bfloat16,
        use_cpu=training["device"] == "cpu",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        seed=job["train"]["seed"],
    ),
    callbacks=[Marks()],
)
trainer.train()
