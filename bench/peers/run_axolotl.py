"""Axolotl: what `axolotl train` runs, on one file of chats."""

import json
import os

from work import Work, mark_steps, read_work


def main() -> None:
    work = read_work()
    file = work.folder / "axolotl.yaml"
    file.write_text(json.dumps(settings(work)))  # JSON is YAML
    os.environ["AXOLOTL_DO_NOT_TRACK"] = "1"
    from axolotl.cli.train import do_cli  # reads the environment

    mark_steps(work.marks)
    do_cli(str(file))


def settings(work: Work) -> dict[str, object]:
    job, training = work.job, work.training
    has_kernels = None if training["device"] == "cuda" else False  # None is its own choice
    return {
        "base_model": work.plan["model"]["folder"],
        "chat_template": "tokenizer_default",
        "datasets": [
            {
                "path": str(work.data),
                "ds_type": "json",
                "type": "chat_template",
                "field_messages": "messages",
                "roles_to_train": ["assistant"],
                "train_on_eos": "turn",
            }
        ],
        "shuffle_merged_datasets": False,  # the trainer draws the order, as everybody's
        "dataset_prepared_path": str(work.folder / "prepared"),
        "dataset_processes": 1,
        "val_set_size": 0,
        "sequence_len": job["data"]["max_length"],
        "sample_packing": False,
        "pad_to_sequence_len": False,
        "adapter": job["method"],
        "load_in_4bit": job["method"] == "qlora",
        "lora_r": job["lora"]["r"],
        "lora_alpha": job["lora"]["alpha"],
        "lora_dropout": job["lora"]["dropout"],
        "lora_target_linear": True,
        "lora_mlp_kernel": has_kernels,
        "lora_qkv_kernel": has_kernels,
        "lora_o_kernel": has_kernels,
        "lora_embedding_kernel": has_kernels,
        "bf16": job["model"]["dtype"] == "bfloat16",
        "tf32": False,
        "micro_batch_size": training["micro_batch_size"],
        "gradient_accumulation_steps": training["gradient_accumulation_steps"],
        "gradient_checkpointing": work.is_checkpointed,
        "max_steps": work.num_steps,
        "learning_rate": job["train"]["learning_rate"],
        "lr_scheduler": job["train"]["lr_scheduler_type"],
        "optimizer": job["train"]["optim"],
        "seed": job["train"]["seed"],
        "logging_steps": 1,
        "save_strategy": "no",
        "output_dir": str(work.folder / "out"),
    }


if __name__ == "__main__":  # its processes that prepare data import this file again
    main()
