"""The labelled reports the tests score: ours under tests/fixtures/logs, and the shared ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from env_check.explain import explain_text

LOGS = Path(__file__).parents[2] / "fixtures" / "logs"
CASES = Path(__file__).parents[4] / "shared" / "cases"


@dataclass(frozen=True)
class LabelledReport:
    """A text and the causes that are right for it; none for a healthy or decoy text."""

    name: str
    text: str
    causes: frozenset[str]


def our_reports() -> list[LabelledReport]:
    """Read our fixtures: the folder is the cause, `#:` lines name source and other causes."""
    found = []
    for path in sorted(LOGS.glob("*/*.txt")):
        lines = path.read_text(encoding="utf-8").split("\n")
        head = [line for line in lines if line.startswith("#: ")]
        also = [word for line in head if line.startswith("#: also: ") for word in line.split()[2:]]
        text = "\n".join(line for line in lines if not line.startswith("#: "))
        name = path.parent.name
        causes = frozenset() if name.startswith("none_") else frozenset({name, *also})
        found.append(LabelledReport(f"{name}/{path.stem}", text, causes))
    return found


def shared_reports() -> list[LabelledReport]:
    """Read ../shared/cases, empty where it is not beside us."""
    if not CASES.is_dir():
        return []
    import yaml

    found = []
    for path in sorted(CASES.glob("[0-9]*.yaml")):
        case = yaml.safe_load(path.read_text(encoding="utf-8"))
        expected = case["expected"]
        healthy = expected["cause_id"].startswith("none_")
        causes = set() if healthy else {expected["cause_id"], *expected["also_accept"]}
        found.append(LabelledReport(path.stem, case["input"], frozenset(causes)))
    return found


def misses(reports: list[LabelledReport], within: int) -> list[str]:
    """Return the faulty reports whose cause is not among the first `within` diagnoses."""
    found = []
    for report in reports:
        named = [each.cause_id for each in explain_text(report.text)]
        if report.causes and not report.causes & set(named[:within]):
            found.append(f"{report.name}: {named}")
    return found


def false_alarms(reports: list[LabelledReport]) -> list[str]:
    """Return the healthy reports that any cause was named for."""
    alarms = []
    for report in reports:
        named = [] if report.causes else [each.cause_id for each in explain_text(report.text)]
        if named:
            alarms.append(f"{report.name}: {named}")
    return alarms
