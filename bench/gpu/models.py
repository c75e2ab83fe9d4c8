"""Models with random weights and chats of a wanted length: speed and memory ask for no more.

Made on the machine that measures: nothing of it is downloaded. The configurations are those of
tests/fixtures/memory/configs, the tokenizer is the byte-level one of the tests.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from tests.tiny import write_tokenizer

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "tests/fixtures/memory/configs"
TEXT = ROOT / "data/medical-qa/train.jsonl"
SHARD = "4GB"
NARROW = {
    "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "head_dim": 16,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip


def make_model(name: str, folder: Path, *, is_tiny: bool = False) -> Path:
    """Write a Hugging Face folder of random bfloat16 weights, unless it is there.

    Args:
        name: a folder of CONFIGS.
        is_tiny: two narrow layers of the same architecture, with its whole vocabulary.
    """
    target = folder / (f"tiny-{name}" if is_tiny else name)
    if (target / "done").exists():
        return target
    shutil.rmtree(target, ignore_errors=True)  # begun and not finished
    target.mkdir(parents=True)
    _write_weights(name, target, NARROW if is_tiny else {})
    write_tokenizer(target)
    (target / "done").touch()
    return target


def _write_weights(name: str, target: Path, changes: dict[str, int]) -> None:
    import torch  # seconds; a list of items asks for no model
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(CONFIGS / name, **changes)
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(target, max_shard_size=SHARD)


def make_chats(folder: Path, num_chats: int, num_bytes: int) -> Path:
    """Write chats of about so many bytes, each a token of the byte-level tokenizer, or nearly.

    Half of a chat is its answer, which carries loss.
    """
    file = folder / f"chats-{num_chats}-{num_bytes}.jsonl"
    rows = [json.loads(line) for line in TEXT.read_text(encoding="utf-8").splitlines()]
    words = " ".join(message["content"] for row in rows for message in row["messages"])
    draw = random.Random(0)
    with file.open("w", encoding="utf-8") as out:
        for number in range(num_chats):
            parts = []
            for _ in range(2):
                start = draw.randrange(len(words) - num_bytes)
                parts.append(words[start : start + num_bytes // 2].strip())
            messages = [
                {"role": "user", "content": f"{number} {parts[0]}"},
                {"role": "assistant", "content": parts[1]},
            ]
            out.write(json.dumps({"messages": messages}) + "\n")
    return file
