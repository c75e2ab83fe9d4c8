"""Every recorded host gets exactly the findings its fixture expects; every rule has a host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from env_check.choose import choose
from env_check.explain.causes import CAUSES
from env_check.facts import (
    Unknown,
    from_json,
    to_json,
    unknowns,
)
from env_check.findings import Status, exit_code
from env_check.judge import judge
from env_check.render import as_json, markdown, text
from env_check.rules.rule import Rule
from env_check.rules.table import FAMILIES, RULES
from tests.env_check.recorded import facts_of, host_names, load_host

HOSTS = host_names()


@pytest.mark.parametrize("name", HOSTS)
def test_a_host_gets_the_findings_it_expects(name: str) -> None:
    """The findings, what is folded under each, exit code and image variant are those expected."""
    host = load_host(name)
    facts = facts_of(host)
    findings, expect = judge(facts), host["expect"]
    assert [each.id for each in findings] == expect["findings"]
    follows = {each.id: [other.id for other in each.follows] for each in findings if each.follows}
    assert follows == expect.get("follows", {})
    assert exit_code(findings) == expect["exit_code"]
    assert choose(facts).variant == expect["variant"]


@pytest.mark.parametrize(
    "name",
    [
        "ubuntu-rtx4090", "wsl-rtx2000ada", "lambda-a100", "lambda-h100", "runpod-rtx4090",
        "dgx-spark", "t4", "v100-535", "p100", "gtx1660ti", "cpu-only", "job-fits", "image-fits",
    ],
)  # fmt: skip
def test_a_healthy_machine_is_let_alone(name: str) -> None:
    """On machines as people have them nothing is found: no fault, no doubt, no warning."""
    assert judge(facts_of(load_host(name))) == ()


@pytest.mark.parametrize("name", HOSTS)
def test_a_finding_is_complete_and_shown_in_every_form(name: str) -> None:
    """Each finding carries evidence, why, fix and verify, and no report loses one."""
    facts = facts_of(load_host(name))
    findings, choice = judge(facts), choose(facts)
    for finding in findings:
        assert finding.evidence and finding.why and finding.fix and finding.verify
        assert all(finding.evidence) and all(finding.fix)
        for show in (text, as_json, markdown):
            assert finding.id in show(facts, findings, choice)


@pytest.mark.parametrize("name", HOSTS)
def test_facts_survive_json(name: str) -> None:
    """Facts written by `collect` are read back the same, and give the same findings."""
    facts = facts_of(load_host(name))
    again = from_json(json.loads(json.dumps(to_json(facts))))
    assert again == facts
    assert judge(again) == judge(facts)


@pytest.mark.parametrize("name", HOSTS)
def test_a_host_says_what_of_it_was_observed(name: str) -> None:
    """A fixture states which of its lines were seen on a machine and which were composed."""
    host = load_host(name)
    assert host["about"] and host["observed"] and host["composed"]


@pytest.mark.parametrize("rule", [each.id for each in RULES])
def test_a_rule_has_a_host_that_it_fires_on(rule: str) -> None:
    """No rule is untried: some fixture expects it, on top or folded under another."""
    for name in HOSTS:
        expect = load_host(name)["expect"]
        folded = [each for ids in expect.get("follows", {}).values() for each in ids]
        if rule in expect["findings"] + folded:
            return
    pytest.fail(f"no fixture expects {rule}")


def test_ids_are_unique_and_of_a_known_family() -> None:
    """An id is a family and three digits, and belongs to one rule."""
    ids = [each.id for each in RULES]
    assert len(ids) == len(set(ids))
    assert {each[:-3] for each in ids} <= set(FAMILIES)


@pytest.mark.parametrize("name", HOSTS)
def test_no_report_names_a_person(name: str) -> None:
    """Home folders and account names stay out of what is collected."""
    assert "someone" not in json.dumps(to_json(facts_of(load_host(name))))


def without(value: Any) -> Iterator[Any]:
    """Yield copies of facts with one fact each made unknown where its type allows that."""
    for each in fields(value):
        inner = getattr(value, each.name)
        if is_dataclass(inner) and not isinstance(inner, (type, Unknown)):
            for changed in without(inner):
                yield replace(value, **{each.name: changed})
        elif isinstance(inner, tuple) and inner and is_dataclass(inner[0]):
            for changed in without(inner[0]):
                yield replace(value, **{each.name: (changed, *inner[1:])})
        elif "Known[" in str(each.type):
            yield replace(value, **{each.name: Unknown("not read")})


@pytest.mark.parametrize("name", HOSTS)
def test_no_rule_breaks_on_an_unknown_fact(name: str) -> None:
    """Each fact that may be unknown is made so: rules, choice and reports still come to an end."""
    for facts in without(facts_of(load_host(name))):
        findings, choice = judge(facts), choose(facts)
        assert text(facts, findings, choice)


@pytest.mark.parametrize("name", ["ubuntu-rtx4090", "wsl-rtx2000ada", "lambda-h100", "dgx-spark"])
def test_an_unknown_fact_raises_no_false_alarm(name: str) -> None:
    """On a healthy machine an unread fact is at most an unknown, never a fault."""
    for facts in without(facts_of(load_host(name))):
        faults = [each.id for each in judge(facts) if each.status is Status.FAIL]
        assert not faults, [pair for pair in unknowns(facts) if pair[1] == "not read"]


@pytest.mark.parametrize("rule", RULES, ids=lambda each: each.id)
def test_a_cause_is_one_that_explain_knows(rule: Rule) -> None:
    """The same fault has the same label in a live check and in a pasted report."""
    assert rule.cause_id in {"", *(cause.id for cause in CAUSES)}
