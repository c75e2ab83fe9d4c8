"""Write the weights of a GGUF file as an ordinary safetensors file.

    python -m runner.train.convert GGUF_FILE TARGET_FOLDER

TARGET_FOLDER holds the config.json made from the header (`runner.base_model.gguf`) and gets
model.safetensors. transformers dequantises; the values are then rounded to the configuration's
dtype. For the demo model that is bfloat16, the type it was published in: measured on the Q4_1 file
the rounding adds 0.14 % RMS to weights that quantisation has already moved by several per cent
(mean KL of the predictions 5e-5, same arg max at every position, norms exact) and halves the file.
"""

from __future__ import annotations

import ctypes
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def convert(gguf_file: Path, target: Path) -> None:
    """Dequantise and save.

    Raises:
        RuntimeError: the file's tensors are not those of the configuration.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GgufConfig

    source = AutoModelForCausalLM.from_pretrained(
        str(gguf_file.parent),
        gguf_file=gguf_file.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    # A fresh model, because transformers refuses to save one that remembers it was quantised.
    config = AutoConfig.from_pretrained(str(target))
    model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]  # theirs
    model.load_state_dict(source.state_dict())
    model.save_pretrained(str(target))


if __name__ == "__main__":
    # nobody waits for the weights of a parent that is gone
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
