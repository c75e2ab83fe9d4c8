"""The snapshot: JSON both ways, unknown stays unknown, strange input is refused."""

from __future__ import annotations

from typing import Any

import pytest

from env_check.facts import (
    Facts,
    FactsError,
    Gpu,
    Requirements,
    Unknown,
    from_json,
    known,
    to_json,
    unknowns,
    versioned,
)


def test_unknown_survives_json() -> None:
    """A fact that could not be had is read back as unknown, with its reason."""
    facts = Facts(gpu=Gpu(init_code=Unknown("no answer")))
    again = from_json(to_json(facts))
    assert again.gpu.init_code == Unknown("no answer")
    assert again == facts


def test_what_is_unknown_is_listed_with_its_name() -> None:
    """Every unknown fact is found by its dotted name."""
    facts = Facts(gpu=Gpu(cuda_version=Unknown("no libcuda")))
    assert ("gpu.cuda_version", "no libcuda") in unknowns(facts)


def test_known_takes_the_default_for_an_unknown() -> None:
    """`known` never lets an Unknown through."""
    assert known(Unknown("why"), 7) == 7
    assert known(3, 7) == 3


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "JSON object"),
        ({}, "schema_version is None"),
        ({"schema_version": 2}, "schema_version is 2"),
        ({"schema_version": 1, "gpus": {}}, "no key `gpus`"),
        ({"schema_version": 1, "gpu": {"smi": 3}}, "facts.gpu.smi is str, not int"),
        ({"schema_version": 1, "gpu": {"devices": {}}}, "facts.gpu.devices is a list"),
        ({"schema_version": 1, "gpu": {"devices": [{}]}}, "a key is missing"),
        ({"schema_version": 1, "gpu": 1}, "facts.gpu is an object"),
        ({"schema_version": 1, "python": {"packages": []}}, "facts.python.packages is an object"),
    ],
)
def test_strange_documents_are_refused(document: Any, message: str) -> None:
    """The error names the place and what was expected there."""
    with pytest.raises(FactsError, match=message.replace("[", r"\[")):
        from_json(document)


def test_requirements_may_leave_keys_out() -> None:
    """A job hands over what it knows."""
    wants = versioned({"schema_version": 1, "num_gpus": 1}, Requirements)
    assert wants == Requirements(num_gpus=1)


def test_usable_memory_is_the_smaller_of_machine_and_limit() -> None:
    """A container may have less than the machine."""
    document = {"schema_version": 1, "storage": {"memory_total_bytes": 64, "memory_limit_bytes": 8}}
    assert from_json(document).storage.usable_memory_bytes == 8
