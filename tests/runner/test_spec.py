"""The job's declarations: strict, immutable, documented, and equal to their own canonical form."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from runner import spec
from runner.load.expected import sentences_of_spec
from runner.spec import Job, duration_seconds

MINIMAL: dict[str, Any] = {
    "version": 1,
    "name": "test",
    "model": {"name_or_path": "org/name"},
    "data": {"train": [{"path": "rows.jsonl"}], "max_length": 512},
}

SECTIONS = [
    value
    for value in vars(spec).values()
    if isinstance(value, type) and issubclass(value, spec.Section)
]


@pytest.mark.parametrize(
    ("duration", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43200), ("2d", 172800)]
)
def test_duration_is_read_in_its_unit(duration: str, seconds: int) -> None:
    """Seconds, minutes, hours and days are each a whole number of seconds."""
    assert duration_seconds(duration) == seconds


def test_four_keys_and_a_version_make_a_job() -> None:
    """Everything but name, model, data and length has a default."""
    job = Job.model_validate(MINIMAL)
    assert (job.stage, job.method, job.data.loss_on) == ("sft", "qlora", "assistant")
    assert job.data.on_too_long == "error"


def test_canonical_job_is_a_job() -> None:
    """The form that is recorded, every default filled in, is valid and stays as it is."""
    canonical = Job.model_validate(MINIMAL).canonical()
    assert Job.model_validate(canonical).canonical() == canonical


@pytest.mark.parametrize("version", [True, 1.0, "1", 2, None])
def test_version_is_the_integer_one(version: object) -> None:
    """Nothing that merely equals one passes for a version."""
    with pytest.raises(ValidationError):
        Job.model_validate(MINIMAL | {"version": version})


def test_job_cannot_be_changed() -> None:
    """What was checked is what runs."""
    job = Job.model_validate(MINIMAL)
    with pytest.raises(ValidationError, match="frozen"):
        job.name = "other"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_key_says_what_it_means(section: type[BaseModel]) -> None:
    """Each field of each section has a sentence beneath it, which ends like one."""
    sentences = sentences_of_spec()[section.__name__]
    for name in section.model_fields:
        assert sentences.get(name), f"{section.__name__}.{name} has no sentence beneath it"
        assert sentences[name].endswith("."), f"{section.__name__}.{name}"


def test_home_is_written_as_in_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """`~/` means the home folder for data and template, as it does for the model."""
    monkeypatch.setenv("HOME", "/there")
    data = spec.Data(
        train=[spec.DataSource(path="~/a.jsonl")], max_length=8, chat_template="~/b.jinja"
    )
    assert (data.train[0].path, data.chat_template) == ("/there/a.jsonl", "/there/b.jinja")
