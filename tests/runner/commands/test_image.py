"""`trainbox image`: what its actions take, and that `choose` is env-check's."""

from __future__ import annotations

from pathlib import Path

import pytest

from env_check.cli import main as env_check
from runner.cli import main, parse

REFERENCE = "registry.example/team/trainbox"


def test_push_takes_variants_or_the_portable_one() -> None:
    """Without a variant it is the one that most machines run."""
    assert parse(["image", "push", REFERENCE], "image").variants == ["cu128"]
    some = parse(["image", "push", REFERENCE, "cpu", "cu126"], "image")
    assert some.variants == ["cpu", "cu126"] and not some.allow_dirty


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["push"], "REGISTRY/NAME"),
        (["push", REFERENCE, "cu13"], "`cu13` is none of cpu, cu130"),
        (["verfy"], "invalid choice: 'verfy'"),
        ([], "ACTION"),
    ],
)
def test_what_is_wrong_with_a_command_line_is_said(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the shape of every error, and nothing was started."""
    with pytest.raises(SystemExit) as ended:
        main(["image", *arguments])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "error[cli-arguments]" in said and words in said


@pytest.mark.parametrize("host", ["ubuntu-rtx4090", "driver-470", "no-driver"])
def test_choose_says_what_env_check_says(
    host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same words and exit codes, for a machine that a variant fits, none, and an unknown."""
    facts = tmp_path / "facts.json"
    facts.write_text(facts_of(host))
    code = env_check(["choose", "--facts", str(facts)])
    said = capsys.readouterr().out
    assert main(["image", "choose", "--facts", str(facts)]) == code
    assert capsys.readouterr().out == said and said


def facts_of(host: str) -> str:
    """Return what `env-check collect` prints on a recorded machine."""
    import json

    from env_check.collect import collect
    from env_check.facts import to_json
    from tests.env_check.recorded import RecordedSystem, load_host

    return json.dumps({"schema_version": 1, **to_json(collect(RecordedSystem(load_host(host))))})
