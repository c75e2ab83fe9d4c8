"""A tiny chat model, prepared data and complete run directories, made in a second without torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.machine import Machine
from runner.plan import Plan, PlannedModel, PreparedSplit, build_plan
from runner.record.layout import RunDir
from runner.spec import Job

PUBLIC_NAME = "example/tiny-chat"
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = "what helps against a cold drink water rest and call your doctor if the fever stays".split()
PART_TOKENS = 4, 16  # of a prompt or an answer: from, and below
HIDDEN, LAYERS, HEADS, INNER = 64, 2, 4, 128
# One thread: the numbers are the same, and two on a busy machine are many times slower.
MACHINE = Machine(num_cpus=1, memory_bytes=8 * 2**30, gpus=())


def write_tiny_model(folder: Path) -> Path:
    """Write a model folder: a random Llama of 0.1 M parameters, a BPE tokenizer, ChatML."""
    folder.mkdir(parents=True)
    vocab = write_tokenizer(folder)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS // 2,
        "head_dim": HIDDEN // HEADS,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "vocab_size": vocab,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    _write_weights(folder, vocab)
    return folder


def tiny_run(
    path: Path,
    model_folder: Path,
    *,
    eval_samples: int = 4,
    train_samples: int = 8,
    part_tokens: tuple[int, int] = PART_TOKENS,
    **sections: Any,
) -> RunDir:
    """Write a run directory with a plan, ready for `python -m runner.train`.

    Args:
        part_tokens: how long prompts and answers are, from and below.
        sections: of the job, merged into one that trains LoRA for 4 steps of 2 x 2 samples.
    """
    run = RunDir(path)
    path.mkdir(parents=True)
    data = path.parent / "data"
    plan = tiny_plan(
        data, model_folder, path.name, eval_samples, train_samples, sections, part_tokens
    )
    plan.write(run.plan)
    return run


def tiny_plan(
    data: Path,
    model_folder: Path,
    run_id: str,
    eval_samples: int,
    train_samples: int,
    sections: dict[str, Any],
    part_tokens: tuple[int, int] = PART_TOKENS,
) -> Plan:
    """Return the plan of a tiny job on CPU."""
    job = tiny_job(**sections)
    train, held = tiny_data(data / job.stage, train_samples, eval_samples, job.stage, part_tokens)
    return build_plan(
        job,
        run_id=run_id,
        model=PlannedModel(
            public_name=PUBLIC_NAME,
            revision="0123abc",
            folder=str(model_folder),
            model_type="llama",
            files={"config.json": "2" * 64},
        ),
        train_data=train,
        eval_data=held,
        machine=MACHINE,
        packed_rows=train_samples if job.data.packing is True else None,
        config=json.loads((model_folder / "config.json").read_text(encoding="utf-8")),
    )


def tiny_job(**sections: Any) -> Job:
    """Return a valid job that trains LoRA for 4 steps of 2 x 2 samples; sections are merged in."""
    raw: dict[str, Any] = {
        "version": 1,
        "name": "tiny",
        "method": "lora",
        "model": {"name_or_path": PUBLIC_NAME, "dtype": "float32"},
        "data": {"train": [{"path": "train.jsonl"}], "max_length": 64},
        "lora": {"r": 4, "alpha": 8},
        "train": {
            "max_steps": 4,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "effective_batch_size": 4,
            "learning_rate": 5e-3,
        },
        "checkpoint": {"save_steps": 1},
        "tracking": {"samples": "none"},
    }
    for name, section in sections.items():
        raw[name] = raw.get(name, {}) | section if isinstance(section, dict) else section
    return Job.model_validate(raw)


def tiny_data(
    folder: Path,
    train_samples: int,
    eval_samples: int,
    stage: str,
    part_tokens: tuple[int, int] = PART_TOKENS,
) -> tuple[PreparedSplit, PreparedSplit | None]:
    """Write prepared splits as runner/data does; the held-out one is None for 0 samples."""
    folder.mkdir(parents=True, exist_ok=True)
    train = _write_split(
        folder / f"train-{train_samples}.npz", train_samples, stage, 0, part_tokens
    )
    if not eval_samples:
        return train, None
    return train, _write_split(
        folder / f"eval-{eval_samples}.npz", eval_samples, stage, 1, part_tokens
    )


def _write_split(
    path: Path, num_samples: int, stage: str, seed: int, part_tokens: tuple[int, int]
) -> PreparedSplit:
    random = np.random.default_rng(seed)
    lengths = random.integers(*part_tokens, size=(num_samples, 3))
    parts = {
        name: _end_to_end([random.integers(8, 200, n) for n in lengths[:, column]])
        for column, name in enumerate(("prompt", "chosen", "rejected"))
    }
    if stage == "dpo":
        arrays = {}
        for name, (ids, offsets) in parts.items():
            arrays |= {f"{name}_ids": ids, f"{name}_offsets": offsets}
        totals, supervised = lengths.sum(axis=1), int(lengths[:, 1:].sum())
    else:
        totals = lengths[:, :2].sum(axis=1)
        ids, offsets = _end_to_end([random.integers(8, 200, n) for n in totals])
        mask = np.concatenate(
            [np.repeat([False, True], [prompt, answer]) for prompt, answer, _ in lengths]
        )
        arrays = {"input_ids": ids, "offsets": offsets, "supervised": mask}
        supervised = int(mask.sum())
    rows = np.stack([np.zeros(num_samples), np.arange(1, num_samples + 1)], axis=1)
    np.savez(path, rows=rows.astype(np.int32), **arrays)
    return PreparedSplit(
        path=str(path),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        num_samples=num_samples,
        num_tokens=int(totals.sum()),
        num_supervised_tokens=supervised,
        longest=int(totals.max()),
        source_sha256="1" * 64,
    )


def _end_to_end(
    parts: list[npt.NDArray[np.int64]],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    offsets = np.cumsum([0, *map(len, parts)]).astype(np.int64)
    return np.concatenate(parts).astype(np.int32), offsets


def write_tokenizer(folder: Path) -> int:
    """Write a byte-level BPE tokenizer and return the size of its vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.train_from_iterator(
        [" ".join(WORDS), *WORDS],
        trainers.BpeTrainer(
            vocab_size=320,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 256,
        "chat_template": CHATML,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    return int(tokenizer.get_vocab_size())


def _write_weights(folder: Path, vocab: int) -> None:
    from safetensors.numpy import save_file

    random = np.random.default_rng(7)
    narrow = HIDDEN // 2  # key and value heads are shared by two query heads each
    shapes = {"model.embed_tokens.weight": (vocab, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for layer in range(LAYERS):
        name = f"model.layers.{layer}"
        shapes |= {
            f"{name}.input_layernorm.weight": (HIDDEN,),
            f"{name}.post_attention_layernorm.weight": (HIDDEN,),
            f"{name}.self_attn.q_proj.weight": (HIDDEN, HIDDEN),
            f"{name}.self_attn.k_proj.weight": (narrow, HIDDEN),
            f"{name}.self_attn.v_proj.weight": (narrow, HIDDEN),
            f"{name}.self_attn.o_proj.weight": (HIDDEN, HIDDEN),
            f"{name}.mlp.gate_proj.weight": (INNER, HIDDEN),
            f"{name}.mlp.up_proj.weight": (INNER, HIDDEN),
            f"{name}.mlp.down_proj.weight": (HIDDEN, INNER),
        }
    weights = {
        name: np.ones(shape, np.float32)
        if len(shape) == 1
        else random.normal(0, 0.08, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
