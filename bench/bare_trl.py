"""The peer: the script a TRL user writes for the same job. No tracker, no checkpoints.

Usage: python bench/bare_trl.py [--defaults] [--prepared] PLAN_JSON DATA_JSONL MARKS_FILE NUM_STEPS
It reads numbers from a trainbox plan so that both do the same work, and appends a line of JSON to
MARKS_FILE after every optimiser step. With --defaults, micro-batch and checkpointing are TRL's own
(8 samples, or the effective batch where that is smaller; checkpointing on). With --prepared it
trains on the plan's tokens and mask, to compare losses: TRL's own mask holds one token more a chat,
the line break after the stop token.
"""

import itertools
import json
import sys
from pathlib import Path

options = {one for one in sys.argv[1:] if one.startswith("--")}
arguments = [one for one in sys.argv[1:] if one not in options]
plan = json.loads(Path(arguments[0]).read_text())
data_file, marks, num_steps = arguments[1], Path(arguments[2]), int(arguments[3])
job, training = plan["job"], plan["training"]
micro, accumulation = training["micro_batch_size"], training["gradient_accumulation_steps"]

import torch  # noqa: E402  # the arguments are read first, as a user's script would
from datasets import Dataset, load_dataset  # noqa: E402
from peft import LoraConfig  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    TrainerCallback,
)
from trl import SFTConfig, SFTTrainer  # noqa: E402

on_card = training["device"] == "cuda"


class Marks(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" not in logs:
            return
        mark = {"step": state.global_step, "loss": logs["loss"], "tokens": logs["num_tokens"]}
        if on_card:
            mark["peak_allocated_bytes"] = torch.cuda.max_memory_allocated()
            mark["peak_reserved_bytes"] = torch.cuda.max_memory_reserved()
        with marks.open("a") as file:
            file.write(json.dumps(mark) + "\n")


def prompt_and_completion(row):
    # TRL 1.16 refuses `assistant_only_loss` with this model's template, so a user splits the chat
    return {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}


def prepared(path):
    import numpy as np

    arrays = np.load(path)
    ids, mask, offsets = (arrays[name] for name in ("input_ids", "supervised", "offsets"))
    parts = [slice(start, end) for start, end in itertools.pairwise(offsets)]
    labels = np.where(mask, ids, -100)
    return Dataset.from_dict(
        {"input_ids": [ids[one] for one in parts], "labels": [labels[one] for one in parts]}
    )


if "--prepared" in options:
    dataset = prepared(plan["train_data"]["path"])
else:
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
if "--defaults" in options:
    steps = {"per_device_train_batch_size": min(8, micro * accumulation)}
    steps["gradient_accumulation_steps"] = (
        micro * accumulation // steps["per_device_train_batch_size"]
    )
else:
    steps = {
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": accumulation,
        "gradient_checkpointing": training["gradient_checkpointing"] != "off",
    }
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
        dataset_kwargs={"skip_prepare_dataset": "--prepared" in options},
        **steps,
        max_steps=num_steps,
        learning_rate=job["train"]["learning_rate"],
        lr_scheduler_type=job["train"]["lr_scheduler_type"],
        max_length=job["data"]["max_length"],
        bf16=dtype == torch.bfloat16,
        use_cpu=not on_card,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        seed=job["train"]["seed"],
        data_seed=job["train"]["seed"],  # else the order hangs on what drew numbers before
    ),
    callbacks=[Marks()],
)
trainer.train()
