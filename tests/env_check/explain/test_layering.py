"""A cause is shown in the layer where this text meets it."""

from __future__ import annotations

import pytest

from env_check.explain import explain_text
from tests.env_check.explain.reports import CASES, shared_reports

REFUSED = "unsatisfied condition: cuda>=12.8, please update your driver to a newer version"


@pytest.mark.parametrize(
    ("text", "layer"),
    [
        (f"nvidia-container-cli: requirement error: {REFUSED}", "container-runtime"),
        ("CUDA driver version is insufficient for CUDA runtime version", "driver"),
        ("libc.so.6: version `GLIBC_2.32' not found (required by flash_attn_2_cuda.so)",
         "flash-attn/triton"),
        ("libc.so.6: version `GLIBC_2.28' not found (required by libtorch_cpu.so)", "torch"),
        ("MIG 1g.5gb\nNCCL WARN Duplicate GPU detected : rank 0 and rank 1", "nccl"),
        ("macOS 14\nAssertionError: Torch not compiled with CUDA enabled", "torch"),
    ],
)  # fmt: skip
def test_the_same_cause_is_met_in_several_layers(text: str, layer: str) -> None:
    """The program that complains decides, not the cause alone."""
    assert explain_text(text)[0].layer == layer


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside us")
def test_layers_are_those_the_labels_allow() -> None:
    """No diagnosis of a shared report names a layer that its cause does not have."""
    import yaml

    rows = yaml.safe_load((CASES / "causes.yaml").read_text(encoding="utf-8"))["causes"]
    allowed = {row["id"]: {row["layer"], *row.get("layers", [])} for row in rows}
    shown = [each for report in shared_reports() for each in explain_text(report.text)]
    assert shown
    assert all(each.layer in allowed[each.cause_id] for each in shown)
