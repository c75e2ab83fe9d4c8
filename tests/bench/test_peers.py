"""Scripts that run other programs: what they are given, and the marks they leave."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from bench import throughput
from tests.forked_trainer import ForkedTrainer

SCRIPTS = sorted((Path(__file__).parents[2] / "bench/peers").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_peers_environment_needs_nothing_of_trainbox(script: Path) -> None:
    """It holds the peer alone; and no script has the name of what it imports."""
    names = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).partition(".")[0])
    assert not names & {"runner", "env_check", "bench", script.stem}


def test_a_line_a_step_counts_what_is_no_padding(
    trainer: ForkedTrainer, tiny_model: Path, tmp_path: Path
) -> None:
    """Tokens are counted from the attention masks of all micro-batches so far."""
    marks, lengths = tmp_path / "marks", (3, 5, 2, 4)
    code = "from tests.bench.marked import train\ntrain(*arguments)"
    trainer.run_python(code, str(tiny_model), str(marks), *map(str, lengths))
    seen = [json.loads(line) for line in marks.read_text(encoding="utf-8").splitlines()]
    assert [one["step"] for one in seen] == [1, 2]
    assert seen[1]["tokens"] == sum(lengths) > seen[0]["tokens"] > 0
    assert all(one["loss"] > 0 for one in seen)


def test_a_peer_is_run_by_its_own_python() -> None:
    """`--peer NAME=PYTHON` adds the variant NAME, whose script is bench/peers/run_NAME.py."""
    args = throughput._arguments(["--peer", "axolotl=/opt/a=b/bin/python"])
    assert throughput._peers(args) == {"axolotl": "/opt/a=b/bin/python"}
    variants = throughput._variants(args, on_card=False)
    assert variants["axolotl"] == ("bench/peers/run_axolotl.py",)
