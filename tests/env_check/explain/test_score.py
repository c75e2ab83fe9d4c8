"""Real reports are explained by their cause, and sound ones are left alone."""

from __future__ import annotations

import pytest

from env_check.explain.causes import BY_ID
from tests.env_check.explain.reports import (
    CASES,
    LabelledReport,
    false_alarms,
    misses,
    our_reports,
    shared_reports,
)

needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside us")
OURS = our_reports()


@pytest.mark.parametrize("report", OURS, ids=lambda report: report.name)
def test_one_of_our_reports_is_explained(report: LabelledReport) -> None:
    """Every text under tests/fixtures/logs gets its cause first, a sound one gets none."""
    assert not misses([report], within=1)
    assert not false_alarms([report])


def test_every_cause_has_a_report() -> None:
    """No cause of the closed list is without a text that shows it."""
    shown = {cause for report in OURS for cause in report.causes}
    assert set(BY_ID) <= shown


def test_decoys_are_many() -> None:
    """At least 25 healthy texts guard against false alarms."""
    assert sum(not report.causes for report in OURS) >= 25


@needs_cases
def test_shared_reports_keep_their_score() -> None:
    """77 of 77 shared reports are right first; one miss is the floor."""
    reports = shared_reports()
    assert len(misses(reports, within=1)) <= 1
    assert not misses(reports, within=3)
    assert not false_alarms(reports)


@needs_cases
def test_closed_list_of_causes_is_the_shared_one() -> None:
    """Ids, layers and families are those of the labels."""
    import yaml

    shared = yaml.safe_load((CASES / "causes.yaml").read_text(encoding="utf-8"))["causes"]
    labels = {row["id"]: (row["layer"], row["family"]) for row in shared}
    ours = {cause.id: (cause.layer, cause.family) for cause in BY_ID.values()}
    assert ours == {id: label for id, label in labels.items() if not id.startswith("none_")}
