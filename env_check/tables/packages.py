# ruff: noqa: E501 (a row is a line)
"""Version relations between torch and the packages of a fine-tuning stack."""

from __future__ import annotations

# "metadata": Requires-Dist and Requires-Python of the published wheel, read 2026-11.

# torch, torchvision, torchaudio ("" = none of its own). Source: metadata (== pin).
COMPANIONS: tuple[tuple[str, str, str], ...] = (
    ("2.0.1", "0.15.2", "2.0.2"),
    ("2.1.2", "0.16.2", "2.1.2"),
    ("2.2.2", "0.17.2", "2.2.2"),
    ("2.3.1", "0.18.1", "2.3.1"),
    ("2.4.1", "0.19.1", "2.4.1"),
    ("2.5.1", "0.20.1", "2.5.1"),
    ("2.6.0", "0.21.0", "2.6.0"),
    ("2.7.1", "0.22.1", "2.7.1"),
    ("2.8.0", "0.23.0", "2.8.0"),
    ("2.9.1", "0.24.1", "2.9.1"),
    ("2.10.0", "0.25.0", "2.10.0"),
    ("2.11.0", "0.26.0", "2.11.0"),
    ("2.12.0", "0.27.0", ""),
    ("2.12.1", "0.27.1", ""),
    ("2.13.0", "0.28.0", ""),
    ("2.14.0", "0.29.0", ""),
)
FIRST_UNPINNED_TORCHVISION = "0.29.2"  # stable ABI wheel for torch >= 2.14. Source: metadata.
LAST_TORCHAUDIO = "2.11.0"  # Source: metadata

# torch minor -> triton. Source: metadata (== pin, ~= from 2.14).
TRITON: dict[str, str] = {
    "2.0": "2.0.0",
    "2.1": "2.1.0",
    "2.2": "2.2.0",
    "2.3": "2.3.1",
    "2.4": "3.0.0",
    "2.5": "3.1.0",
    "2.6": "3.2.0",
    "2.7": "3.3.x",
    "2.8": "3.4.0",
    "2.9": "3.5.x",
    "2.10": "3.6.0",
    "2.11": "3.6.0",
    "2.12": "3.7.x",
    "2.13": "3.7.1",
    "2.14": "3.8.x",
    "2.15": "3.9.x",
}

# xformers -> torch requirement. Source: metadata.
XFORMERS: dict[str, str] = {
    "0.0.25.post1": "==2.2.2",
    "0.0.27.post2": "==2.4.0",
    "0.0.28.post3": "==2.5.1",
    "0.0.29.post3": "==2.6.0",
    "0.0.30": "==2.7.0",
    "0.0.31.post1": "==2.7.1",
    "0.0.32.post2": "==2.8.0",
    "0.0.33.post2": "==2.9.1",
    "0.0.35": ">=2.10",
}
XFORMERS_NOTE = (
    "stable ABI from 0.0.34: any torch >= 2.10 of the same CUDA major loads; before, "
    "version and CUDA build must match exactly"
)

# flash-attn: lowest compute capability of 2.x and the parts of a wheel name that must match.
# Source: Dao-AILab/flash-attention README, issues 762, 853, 950, 1832.
FLASH_ATTN_MIN_CC = "8.0"
FLASH_ATTN_WHEEL = "flash_attn-VER+cuNNtorchX.Ycxx11abi{TRUE,FALSE}-cpXY-cpXY-linux_x86_64.whl"

# package, version, Python requirement ("" = unknown), needs, source
STACK: tuple[tuple[str, str, str, tuple[str, ...], str], ...] = (
    (
        "transformers",
        "4.57.6",
        ">=3.9",
        (
            "torch>=2.2 (extra)",
            "huggingface-hub>=0.34,<1.0",
            "tokenizers>=0.22,<=0.23.0",
            "accelerate>=0.26 (extra)",
            "safetensors>=0.4.3",
        ),
        "metadata",
    ),
    (
        "transformers",
        "5.0.0",
        ">=3.10",
        (
            "torch>=2.2 (extra)",
            "huggingface-hub>=1.3,<2.0",
            "tokenizers>=0.22,<=0.23.0",
            "accelerate>=1.1 (extra)",
        ),
        "metadata",
    ),
    (
        "transformers",
        "5.10.0",
        ">=3.10",
        (
            "torch>=2.4 (extra)",
            "huggingface-hub>=1.5,<2.0",
            "accelerate>=1.1 (extra)",
        ),
        "metadata",
    ),
    (
        "transformers",
        "5.23.0",
        ">=3.11",
        (
            "torch>=2.6 (extra)",
            "huggingface-hub>=1.31,<3.0",
            "tokenizers>=0.23.1,<0.24",
            "accelerate>=1.1 (extra)",
        ),
        "metadata",
    ),
    (
        "trl",
        "0.24.0",
        ">=3.9",
        (
            "accelerate>=1.4",
            "datasets>=3.0",
            "transformers>=4.56.1",
        ),
        "metadata",
    ),
    (
        "trl",
        "1.16.0",
        ">=3.11",
        (
            "accelerate>=1.10.1",
            "datasets>=4.7",
            "transformers>=4.56.2",
            "huggingface_hub>=0.34",
        ),
        "metadata",
    ),
    (
        "peft",
        "0.17.1",
        ">=3.9",
        (
            "torch>=1.13",
            "accelerate>=0.21",
            "huggingface_hub>=0.25",
        ),
        "metadata",
    ),
    (
        "peft",
        "0.21.2",
        ">=3.10",
        (
            "torch>=1.13",
            "accelerate>=0.21",
            "huggingface_hub>=0.25",
        ),
        "metadata",
    ),
    (
        "accelerate",
        "1.10.1",
        ">=3.9",
        (
            "torch>=2.0",
            "huggingface_hub>=0.21",
            "numpy<3",
        ),
        "metadata",
    ),
    (
        "accelerate",
        "1.15.0",
        ">=3.10",
        (
            "torch>=2.0",
            "huggingface_hub>=0.21",
        ),
        "metadata",
    ),
    ("datasets", "5.2.0", ">=3.10", ("huggingface-hub>=1.31,<3.0",), "metadata"),
    ("huggingface_hub", "2.4.0", ">=3.10", (), "metadata"),
    ("bitsandbytes", "0.50.2", ">=3.10", ("torch>=2.4,<3",), "metadata"),
    ("torchao", "0.18.0", "", ("none pinned",), "metadata"),
    (
        "liger-kernel",
        "0.8.5",
        "",
        (
            "torch>=2.1.2",
            "triton>=2.3.1",
        ),
        "metadata",
    ),
    ("mlflow", "3.18.0", ">=3.10", (), "metadata"),
    (
        "axolotl",
        "0.21.0",
        ">=3.12",
        (
            "torch>=2.13,<2.15",
            "transformers==5.20.1",
            "peft==0.21.2",
            "accelerate==1.15.0",
            "datasets==5.0.1",
            "bitsandbytes==0.50.2",
        ),
        "metadata",
    ),
    (
        "unsloth",
        "2026.10.9",
        ">=3.9,<3.15",
        (
            "torch>=2.4,<2.15",
            "transformers>=4.52.4,<=5.17.0 with 10 excluded releases",
            "bitsandbytes>=0.45.5,!=0.46.0,!=0.48.0",
            "peft>=0.18,!=0.11.0",
            "datasets>=3.4.1,<5.0 with exclusions",
        ),
        "metadata",
    ),
    (
        "llamafactory",
        "0.9.5",
        ">=3.11",
        (
            "torch>=2.4",
            "transformers>=4.55,<=5.6.0",
            "peft>=0.18.0,<=0.18.1",
            "accelerate>=1.3,<=1.11",
            "datasets>=2.16,<=4.0",
        ),
        "metadata",
    ),
    (
        "deepspeed",
        "0.19.8",
        "",
        (
            "nvcc of the same CUDA minor as torch for JIT ops; its list of tolerated minor mismatches ends at CUDA 12.9, so any 13.x mismatch is an error (DS_SKIP_CUDA_CHECK=1 overrides)",
        ),
        "deepspeed op_builder/builder.py (cuda_minor_mismatch_ok)",
    ),
    ("vllm", "0.33.0", "", ("default wheel is CUDA 13",), "metadata; vllm-project/vllm#52300"),
)

# a, b, what happens. Source: metadata of both.
INCOMPATIBLE: tuple[tuple[str, str, str], ...] = (
    ("huggingface_hub>=1.0", "transformers<5", "resolver conflict or ImportError"),
    ("datasets>=5.2 (hub>=1.31)", "transformers 4.57 (hub<1.0)", "cannot be installed together"),
    ("torch 2.15", "unsloth 2026.10.9, axolotl 0.21.0", "both cap torch below 2.15"),
    (
        "unsloth 2026.10.9 (datasets<5)",
        "axolotl 0.21.0 (datasets==5.0.1, transformers==5.20.1)",
        "one environment cannot hold both",
    ),
    ("numpy>=2", "torch<2.3", "RuntimeError: Numpy is not available"),
    ("bitsandbytes 0.50", "torch<2.4", "not installable"),
    (
        "peft newer",
        "transformers older (or reverse)",
        "ImportError for a moved name, e.g. EncoderDecoderCache (haotian-liu/LLaVA#1808)",
    ),
)
