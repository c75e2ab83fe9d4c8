"""Measured runs of others: how near the prediction comes, and what it refuses to guess."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest
import yaml

from runner.errors import EXIT_REFUSED
from runner.memory.__main__ import main
from runner.memory.cards import GIB
from runner.memory.points import predict
from runner.memory.points_file import Row
from tests.runner.memory.models import (
    CONFIGS,
    FIXTURES,
    SHARED,
    SHARED_CONFIGS,
    measured_rows,
)

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
        for row in measured_rows(file)
        if row.fields.get("score") == score and row.fields["metric"] == "torch_max_memory_allocated"
    }
    most, worst = BARS[score]
    assert len(errors) >= 10
    assert mean(errors.values()) * 100 <= most
    assert max(errors.values()) * 100 <= worst, max(errors, key=errors.__getitem__)


@pytest.mark.parametrize(("file", "configs"), FILES)
def test_a_run_that_ran_out_of_memory_never_fits(file: Path, configs: Path) -> None:
    """Of the runs with a known end, none that ran out fits, and every finished one does."""
    rows = [row for row in measured_rows(file) if "outcome" in row.fields]
    assert {row.fields["outcome"] for row in rows} == {"oom", "completed"}
    for row in rows:
        assert predict(row, configs).fits is (row.fields["outcome"] == "completed"), row.id


def test_every_row_is_answered_with_four_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints one JSON object a row, points and verdicts."""
    assert main([str(FIXTURES / "points.yaml"), "--configs", str(CONFIGS)]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert set(answers) == {row.id for row in measured_rows(FIXTURES / "points.yaml")}
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
        ("config", "no-such-model"),
        ("kernels", "hand-written"),
        ("gradient_checkpointing", "sometimes"),
        ("algorithm", "ppo"),
        ("quant", {"type": "ternary"}),
        ("lora", {"r": 8, "targets": ["qq_proj"], "adapter_dtype": "fp32"}),
        ("lora", {"r": 8, "targets": ["q_proj"], "adapter_dtype": "int3"}),
        ("seq_len", None),
        ("micro_batch", 0),
        ("quant", ["nf4"]),
        ("lora", [16]),
        ("gpu_memory_gib", "much"),
        ("config", "x" * 5000),
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
    has_no_line = value is None or isinstance(value, list) or field == "gpu_memory_gib"
    line = 2 if has_no_line or value == "x" * 5000 else _line_of(file, f"{field}:")
    assert f"points.yaml:{line}\n" in printed.err
    answers = json.loads(printed.out)
    assert "error" in answers[rows[0]["id"]]
    assert answers[rows[1]["id"]]["allocated_bytes"] > 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attention", "FA2"),
        ("attention", "Flash Attention 3"),
        ("logits", "CCE"),
        ("kernels", "Unsloth 2026.1"),
        ("optimizer", "Fused AdamW"),
        ("gradient_checkpointing", "full"),
        ("seq_len", "2048"),
        ("quant", None),
        ("gpu", "2xA100-80GB"),
    ],
)
def test_other_words_for_the_same_are_understood(field: str, value: object) -> None:
    """As they stand in the reports of people."""
    row = _strict_rows()[0]
    told = predict(replace(row, fields={**row.fields, field: value}), CONFIGS)
    assert told.allocated_bytes > 0 and told.unknown == ()


def test_a_card_that_nobody_knows_is_named_and_predicted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing but the libraries' workspace depends on it."""
    rows = [dict(row.fields) | {"gpu": "abacus"} for row in _strict_rows()[:1]]
    file = tmp_path / "points.yaml"
    file.write_text(yaml.safe_dump({"points": rows}), encoding="utf-8")
    assert main([str(file), "--configs", str(CONFIGS)]) == 0
    (answer,) = json.loads(capsys.readouterr().out).values()
    assert answer["unknown"] == ["gpu: abacus"] and answer["allocated_bytes"] > 0


@pytest.mark.parametrize("bad", [3, None, [], {"config": "x"}, {"id": "t4"}])
def test_a_row_that_is_none_costs_no_other_row(
    bad: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused with its line; so is an id that was used before."""
    good = dict(_strict_rows()[0].fields)
    file = tmp_path / "points.yaml"
    rows = [bad, good, good]
    file.write_text(yaml.safe_dump({"points": rows, "verdicts": None}), encoding="utf-8")
    assert main([str(file), "--configs", str(CONFIGS)]) == EXIT_REFUSED
    printed = capsys.readouterr()
    assert json.loads(printed.out)[good["id"]]["allocated_bytes"] > 0
    assert "points.yaml:2" in printed.err and "was used before" in printed.err


@pytest.mark.parametrize("text", ["[1]", "points: 3", "points: {id: x}", "points: [", ""])
def test_a_file_of_another_kind_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no file of measured runs is said to be none, with the file's name."""
    file = tmp_path / "points.yaml"
    file.write_text(text, encoding="utf-8")
    assert main([str(file), "--configs", str(CONFIGS)]) == EXIT_REFUSED
    assert "plan-points-file" in capsys.readouterr().err


def _strict_rows() -> list[Row]:
    rows = measured_rows(FIXTURES / "points.yaml")
    return [row for row in rows if row.fields.get("score") == "strict"]


def _line_of(file: Path, start: str) -> int:
    lines = file.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip().startswith(start))
