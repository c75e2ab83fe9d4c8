"""System messages of other languages are read as their English wording."""

from __future__ import annotations

import pytest

from env_check.explain import explain_text
from env_check.explain.translating import in_english


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("OSError: [Errno 28] 设备上没有空间", "disk_full_cache"),
        ("libcudart.so.11.0: Kann die Shared-Object-Datei nicht öffnen",
         "cuda_major_mismatch_extension"),
        ("sh: nvcc: commande introuvable", "nvcc_missing_for_build"),
        ("[1]  4055 Убито                python train.py", "oom_host_killed"),
    ],
)  # fmt: skip
def test_a_translated_message_names_its_cause(text: str, cause: str) -> None:
    """What libc and the shell say depends on the locale, the cause does not."""
    assert explain_text(text)[0].cause_id == cause


def test_other_text_stays_as_it_is() -> None:
    """Only the known messages are touched."""
    text = "损失 0.3, шаг 7, étape 2"
    assert in_english(text) == text
