"""`trainbox data`: the proof on the terminal; text of samples nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.cli import main
from tests.runner.data.chats import chat
from tests.runner.data.folders import write_folder

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "vocab_size": 500,
}


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A job with a tiny local model, in an own folder and cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAINBOX_CACHE", str(tmp_path / "cache"))
    folder = write_folder(tmp_path / "model", "chatml")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    rows = [{"messages": chat(f"u:Question {i}?", f"a:Answer {i}.")} for i in range(7)]
    Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("job.yaml").write_text(
        "version: 1\nname: tiny\nmodel: {name_or_path: ./model}\n"
        "data: {train: [{path: train.jsonl}], max_length: 64}\n"
    )
    return "job.yaml"


def test_proof_shows_counts_and_no_text_in_a_pipe(
    job: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows, tokens and tokens with loss; the samples only where a person reads them."""
    assert main(["data", job]) == 0
    out = capsys.readouterr().out
    assert "train.jsonl (messages): 7 rows read · 7 used" in out
    assert "7 samples" in out and "with loss" in out
    assert "Answer" not in out


def test_proof_shows_packing_template_and_stop(
    job: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What packing would fill, what the template does, and which token ends the answers."""
    assert main(["data", job]) == 0
    out = capsys.readouterr().out
    assert "renders assistant, user · answers follow its generation prompt: yes" in out
    assert "last token with loss: <|im_end|> 7" in out
    assert "packing   7 samples would fill " in out and "of 64 tokens to " in out


def test_template_of_the_job_is_compared_with_the_model_s_own(
    job: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server asks with the model's own: what differs is counted and warned of."""
    own = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
    prompt = "{% if add_generation_prompt %}assistant: {% endif %}"
    Path("own.jinja").write_text(own + prompt)
    assert main(["data", job, "--set", "data.chat_template=own.jinja"]) == 0
    out = capsys.readouterr().out
    assert "as the model's own: not in 7 rows" in out
    assert "warning: 7 of 7 conversations read otherwise" in out


def test_samples_show_what_carries_loss(job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--samples prints text; without colour what carries loss is in brackets."""
    assert main(["data", job, "--samples", "1"]) == 0
    assert "⟦Answer 0.<|im_end|>⟧" in capsys.readouterr().out


def test_json_has_counts_alone(job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--json is the report: documented, versioned, without text."""
    assert main(["data", job, "--json", "--samples", "3"]) == 0
    out = capsys.readouterr().out
    report = json.loads(out)
    assert (report["schema_version"], report["train"]["num_samples"]) == (1, 7)
    assert "Answer" not in out


def test_broken_row_is_refused_with_its_line(job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, the line and the field, no text and no traceback."""
    with Path("train.jsonl").open("a") as file:
        file.write('{"messages": [{"role": "user", "content": "Planted words"}]}\n')
    assert main(["data", job]) == 2
    shown = capsys.readouterr()
    assert "train.jsonl:8" in shown.err and "Planted" not in shown.err + shown.out
