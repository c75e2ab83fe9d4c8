"""Measured runs of others: how near the prediction comes, and what it refuses to guess."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean

import pytest
import yaml

from runner.errors import EXIT_REFUSED
from runner.memory.__main__ import main
from runner.memory.cards import GIB
from runner.memory.points import predict
from runner.memory.points_file import Row, read_rows
from tests.runner.memory.models import CONFIGS, FIXTURES, SHARED, SHARED_CONFIGS

# class → mean and worst error of the allocated bytes, per cent
BARS = {"strict": (0.5, 2.0), "loose": (1.0, 3.0)}
FILES = [
    pytest.param(FIXTURES / "points.yaml", CONFIGS, id="fixtures"),
    pytest.param(
        SHARED / "facts" / "vram_points.yaml",
        SHARED_CONFIGS,
        id="shared",
        marks=pytest.mark.skipif(not SHARED.is_dir(), reason="the shared points are not here"),
    ),
]


@pytest.mark.parametrize(("file", "configs"), FILES)
@pytest.mark.parametrize("score", BARS)
def test_predictions_are_near_what_was_measured(file: Path, configs: Path, score: str) -> None:
    """Stock stack, fused kernels, eager attention: the mean within 1 %, the worst within 3 %."""
    errors = {
        row.id: abs(predict(row, configs).allocated_bytes / (row.fields["peak_gib"] * GIB) - 1)
        for row in read_rows(file)
        if row.fields.get("score") == score and row.fields["metric"] == "torch_max_memory_allocated"
    }
    most, worst = BARS[score]
    assert len(errors) >= 10
    assert mean(errors.values()) * 100 <= most
    assert max(errors.values()) * 100 <= worst, max(errors, key=errors.__getitem__)


@pytest.mark.parametrize(("file", "configs"), FILES)
def test_a_run_that_ran_out_of_memory_never_fits(file: Path, configs: Path) -> None:
    """Of the runs with a known end, none that ran out fits, and every finished one does."""
    rows = [row for row in read_rows(file) if "outcome" in row.fields]
    assert {row.fields["outcome"] for row in rows} == {"oom", "completed"}
    for row in rows:
        assert predict(row, configs).fits is (row.fields["outcome"] == "completed"), row.id


def test_every_row_is_answered_with_four_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints one JSON object a row, points and verdicts."""
    assert main([str(FIXTURES / "points.yaml"), "--configs", str(CONFIGS)]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert set(answers) == {row.id for row in read_rows(FIXTURES / "points.yaml")}
    for answer in answers.values():
        assert set(answer) == {"allocated_bytes", "reserved_bytes", "device_bytes", "fits"}
        assert answer["allocated_bytes"] <= answer["reserved_bytes"] <= answer["device_bytes"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attention", "ring"),
        ("optimizer", "lion"),
        ("logits", "sampled"),
        ("precision", "posit8"),
        ("method", "prefix"),
        ("gpu", "abacus"),
        ("config", "no-such-model"),
        ("kernels", "hand-written"),
        ("gradient_checkpointing", "sometimes"),
        ("algorithm", "ppo"),
        ("quant", {"type": "ternary"}),
        ("lora", {"r": 8, "targets": ["qq_proj"], "adapter_dtype": "fp32"}),
        ("lora", {"r": 8, "targets": ["q_proj"], "adapter_dtype": "int3"}),
        ("seq_len", None),
    ],
)
def test_a_value_that_is_not_known_is_refused_with_its_line(
    field: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No setting is guessed: the row is refused with file and line, the others are predicted."""
    rows = [dict(row.fields) for row in _strict_rows()[:2]]
    if value is None:
        del rows[0][field]
    else:
        rows[0][field] = value
    file = tmp_path / "points.yaml"
    file.write_text(yaml.safe_dump({"points": rows}, sort_keys=False), encoding="utf-8")
    assert main([str(file), "--configs", str(CONFIGS)]) == EXIT_REFUSED
    printed = capsys.readouterr()
    line = 2 if value is None else _line_of(file, f"{field}:")
    assert f"points.yaml:{line}\n" in printed.err
    answers = json.loads(printed.out)
    assert "error" in answers[rows[0]["id"]]
    assert answers[rows[1]["id"]]["allocated_bytes"] > 0


@pytest.mark.parametrize("text", ["[1]", "points: [3]", "points: [{config: x}]", "points: [", ""])
def test_a_file_of_another_kind_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no file of measured runs is said to be none, with the file's name."""
    file = tmp_path / "points.yaml"
    file.write_text(text, encoding="utf-8")
    assert main([str(file), "--configs", str(CONFIGS)]) == EXIT_REFUSED
    assert "plan-points-file" in capsys.readouterr().err


def _strict_rows() -> list[Row]:
    rows = read_rows(FIXTURES / "points.yaml")
    return [row for row in rows if row.fields.get("score") == "strict"]


def _line_of(file: Path, start: str) -> int:
    lines = file.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip().startswith(start))
