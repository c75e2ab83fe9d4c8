"""What a job wants of a machine: sizes that are lower bounds, and nothing that is not known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.requirements import ModelSize, least_device_bytes, requirements_of
from tests.runner.plans import tiny_job

GIB = 2**30
LLAMA_8B = {
    "dtype": "bfloat16", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "model_type": "llama",
    "vocab_size": 128256, "hidden_act": "silu", "tie_word_embeddings": False,
}  # fmt: skip
SIZE = ModelSize(name="org/8b", config=LLAMA_8B, weight_bytes=16_060_522_496, is_on_hub=True)


@pytest.mark.parametrize(
    ("sections", "least", "most"),
    [
        ({"method": "qlora"}, 6, 7),  # 4-bit layers, 16-bit embedding and head
        ({"method": "lora"}, 15, 17),
        ({"method": "full"}, 119, 121),  # 16 bytes a parameter
        ({"method": "full", "train": {"optim": "adamw_8bit"}}, 74, 76),
    ],
)
def test_the_least_device_memory_grows_with_the_method(
    sections: dict[str, Any], least: float, most: float
) -> None:
    """Weights, gradients and optimiser states; never more than a real run takes."""
    assert least < least_device_bytes(tiny_job(**sections), SIZE) / GIB < most


def test_what_is_not_known_is_zero() -> None:
    """A model that could not be described gives no sizes, and is still to be downloaded."""
    wants = requirements_of(tiny_job(), ModelSize(name="org/tiny", is_on_hub=True))
    assert wants.needs_download
    assert wants.model_bytes == wants.device_memory_bytes == wants.download_bytes == 0


def test_an_architecture_that_is_not_known_has_no_sizes() -> None:
    """A state-space model is not guessed at: its weights alone are known."""
    model = ModelSize(name="m", config={"model_type": "mamba"}, weight_bytes=7)
    wants = requirements_of(tiny_job(), model)
    assert (wants.model_bytes, wants.device_memory_bytes, wants.run_bytes) == (7, 0, 0)


def test_downloads_go_where_they_will_lie() -> None:
    """Weights of the hub fill its cache, an unpacked package ours, checkpoints the runs."""
    on_hub = requirements_of(tiny_job(), ModelSize(name="a/b", missing_bytes=7, is_on_hub=True))
    packed = requirements_of(tiny_job(), ModelSize(name="p", missing_bytes=7), source_bytes=3)
    assert (on_hub.download_bytes, on_hub.cache_bytes) == (7, 0)
    assert (packed.download_bytes, packed.cache_bytes) == (0, 10)
    assert requirements_of(tiny_job(), SIZE).run_bytes > 4 * 12 * 41_943_040


@pytest.mark.parametrize(
    ("sections", "can_use_cpu"),
    [
        ({}, True),
        ({"resources": {"gpu": "H100"}}, False),
        ({"model": {"attn_implementation": "flash_attention_2"}}, False),
        ({"train": {"optim": "paged_adamw_8bit"}}, False),
    ],
)
def test_a_job_that_names_what_only_a_gpu_has_cannot_use_the_cpu(
    sections: dict[str, Any], can_use_cpu: bool
) -> None:
    """The fall-back to the CPU is offered only where training would take it."""
    assert requirements_of(tiny_job(**sections), SIZE).can_use_cpu is can_use_cpu


def test_a_job_for_the_cpu_wants_no_shared_memory() -> None:
    """On the CPU the plan starts no data workers."""
    wants = requirements_of(tiny_job(resources={"gpus": 0, "shm_gib": 8.0}), SIZE)
    assert (wants.num_gpus, wants.num_workers, wants.shm_bytes) == (0, 0, 0)


def test_settings_are_handed_on(tmp_path: Path) -> None:
    """What the job says is what env_check compares."""
    job = tiny_job(
        model={"dtype": "float16"}, network="hub", resources={"gpu": 1},
        tracking={"mlflow": {"uri": "http://mlflow:5000"}},
    )  # fmt: skip
    wants = requirements_of(job, SIZE)
    assert (wants.dtype, wants.quantization, wants.gpu) == ("float16", "nf4", "1")
    assert wants.needs_hub and wants.tracking_uri == "http://mlflow:5000"
