"""What a job asks for: every field is judged, and asking for it changes what is contacted."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from env_check.collect import collect
from env_check.facts import Facts, Requirements, decode
from env_check.gather import is_asking
from env_check.judge import judge
from env_check.probes import network
from env_check.system import Answer
from tests.env_check.recorded import RecordedSystem, facts_of, host_names, load_host

# Field → the host whose findings change when the field is taken back to its default.
DECISIVE = {
    "model": "model-misspelt",
    "model_bytes": "job-cpu-small",
    "needs_download": "offline-needed",
    "needs_token": "token-missing-known",
    "needs_hub": "offline-data",
    "dtype": "job-bf16-turing",
    "quantization": "gtx980",
    "attention": "job-flash-turing",
    "num_gpus": "job-no-gpu",
    "gpu": "job-card-absent",
    "can_use_cpu": "job-cpu-small",
    "device_memory_bytes": "job-too-large",
    "host_memory_bytes": "job-memory",
    "download_bytes": "job-disk",
    "cache_bytes": "job-disk-cache",
    "run_bytes": "job-disk",
    "shm_bytes": "job-shm",
    "num_workers": "job-workers",
}


def findings(facts: Facts) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(each.id, each.what, each.evidence) for each in judge(facts)]


@pytest.mark.parametrize("field", [each.name for each in fields(Requirements)])
def test_every_field_decides_something(field: str) -> None:
    """A field without a rule would be a promise; the version and the address are used elsewhere."""
    if field in ("schema_version", "tracking_uri"):
        return
    facts = facts_of(load_host(DECISIVE[field]))
    assert facts.requirements is not None
    default = getattr(Requirements(), field)
    assert getattr(facts.requirements, field) != default
    without = replace(facts, requirements=replace(facts.requirements, **{field: default}))
    assert findings(without) != findings(facts)


def test_a_job_that_fits_says_all_that_a_job_can_say() -> None:
    """The fixture of a fitting job leaves out only what is false or empty for it."""
    wants = decode(load_host("job-fits")["requirements"], Requirements, "requirements")
    left_out = {each.name for each in fields(wants) if not getattr(wants, each.name)}
    assert left_out == {"needs_download", "needs_token", "needs_hub", "gpu", "tracking_uri"}


def test_hosts_with_a_job_are_of_this_schema() -> None:
    """No fixture carries a key that a job no longer has."""
    for name in host_names():
        wants: dict[str, Any] = load_host(name).get("requirements", {})
        assert set(wants) <= {each.name for each in fields(Requirements)}


class Asked(RecordedSystem):
    """A machine that answers every address, and remembers which were asked."""

    def __init__(self) -> None:
        super().__init__(load_host("cpu-only"))
        self.urls: list[str] = []

    def get(self, url: str, *, token: str = "", timeout_seconds: float = 5.0) -> Answer:
        self.urls.append(url)
        return Answer(200)


@pytest.mark.parametrize(
    ("wants", "asked"),
    [
        (Requirements(), []),
        (Requirements(tracking_uri="none"), []),
        (Requirements(tracking_uri="http://mlflow:5000"), ["http://mlflow:5000/health"]),
        (Requirements(needs_hub=True), ["https://huggingface.co/api/whoami-v2"]),
        (
            Requirements(model="a/b", needs_download=True),
            [
                "https://huggingface.co/api/whoami-v2",
                "https://huggingface.co/a/b/resolve/main/config.json",
            ],
        ),
        (Requirements(model="a folder", needs_download=False), []),
    ],
)
def test_only_what_the_job_needs_is_contacted(wants: Requirements, asked: list[str]) -> None:
    """A job asks the network by itself, and no more of it than it will use."""
    system = Asked()
    before = collect(system).network
    after = network.ask(system, before, wants, is_asked=False)
    assert system.urls == asked
    assert is_asking(wants) is bool(asked)
    assert after.tracking_answer in ("ok", before.tracking_answer)
